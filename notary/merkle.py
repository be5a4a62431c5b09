"""The hashes of the chain: of events (leaves), of blocks (roots of Merkle trees) and of the chain.

The trees are those of RFC 6962 section 2.1, with the prefixes 0 for leaves and 1 for nodes; all hashes are
SHA-256. tools/verify_export.py computes the same hashes with only the standard library.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

_HEAD = struct.Struct(">BqqI")
_LENGTH = struct.Struct(">I")
_LINK = struct.Struct(">BqqqI")


class Step(NamedTuple):
    """A sibling hash on the path from a leaf to the root. `is_left`: it is the left child of its parent."""

    is_left: bool
    hash: bytes


class Subtree(NamedTuple):
    """The hash of the leaves from `low` (included) to `high` (excluded)."""

    low: int
    high: int
    hash: bytes


def leaf(position: int, aggregate_id: str, version: int, topic: str, state: bytes) -> bytes:
    """The hash of one row of the log. Lengths precede the texts, so that different rows never give the same
    bytes."""
    text, kind = aggregate_id.encode(), topic.encode()
    return sha256(
        _HEAD.pack(0, position, version, len(text)) + text + _LENGTH.pack(len(kind)) + kind + state
    ).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of at least one leaf. A node without a sibling moves up one level unchanged."""
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def cover(leaves: Sequence[bytes], is_kept: Sequence[bool]) -> list[Subtree]:
    """The largest subtrees that contain no kept leaf, from left to right. The root can be computed from them
    and the kept leaves."""
    return _cover(leaves, is_kept, 0, len(leaves))


def path(leaves: Sequence[bytes], index: int) -> list[Step]:
    """The sibling hashes on the path from the leaf at `index` to the root."""
    steps, level = [], list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            steps.append(Step(sibling < index, level[sibling]))
        level, index = _next_level(level), index // 2
    return steps


def first_link(log_id: str) -> bytes:
    """The hash with which the chain of a log begins."""
    return sha256(b"ticketing log\n" + log_id.encode()).digest()


def link(
    previous: bytes, *, number: int, first_position: int, last_position: int, events: int, root: bytes
) -> bytes:
    """The hash of the chain after one more block."""
    head = _LINK.pack(2, number, first_position, last_position, events)
    return sha256(head + previous + root).digest()


def split(hashes: bytes, size: int) -> list[bytes]:
    """The hashes, or the beginnings of hashes, that are stored one after the other, each of `size` bytes."""
    return [hashes[at : at + size] for at in range(0, len(hashes), size)]


def _cover(leaves: Sequence[bytes], is_kept: Sequence[bool], low: int, high: int) -> list[Subtree]:
    if not any(is_kept[low:high]):
        return [Subtree(low, high, root(leaves[low:high]))]
    if high - low == 1:
        return []
    middle = low + (1 << (high - low - 1).bit_length() - 1)
    return [*_cover(leaves, is_kept, low, middle), *_cover(leaves, is_kept, middle, high)]


def _next_level(level: list[bytes]) -> list[bytes]:
    above = [
        sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) % 2:
        above.append(level[-1])
    return above
