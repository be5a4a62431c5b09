"""The hashes of the chain: events into leaves, leaves into a page's root, roots into the chain.

The tree is that of RFC 6962 section 2.1, with its prefixes 0 for leaves and 1 for nodes; SHA-256 throughout.
tools/verify_export.py computes the same with nothing but the standard library.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
_HEAD = struct.Struct(">BqqI")
_LENGTH = struct.Struct(">I")
_LINK = struct.Struct(">BqqqI")


class Step(NamedTuple):
    """A neighbour on the way from a leaf to the root, and whether it stands to the left."""

    is_left: bool
    hash: bytes


class Subtree(NamedTuple):
    """The hash over the leaves from `low` up to before `high`."""

    low: int
    high: int
    hash: bytes


def leaf(position: int, aggregate_id: str, version: int, topic: str, state: bytes) -> bytes:
    """One row of the log. The texts carry their lengths, so that no two rows give the same bytes."""
    text, kind = aggregate_id.encode(), topic.encode()
    return sha256(
        _HEAD.pack(0, position, version, len(text)) + text + _LENGTH.pack(len(kind)) + kind + state
    ).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over at least one leaf. A node without a neighbour moves up as it is."""
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def cover(leaves: Sequence[bytes], is_kept: Sequence[bool]) -> list[Subtree]:
    """The largest subtrees that hold none of the leaves that are kept, from left to right. With the kept
    leaves they give the root."""
    return _cover(leaves, is_kept, 0, len(leaves))


def path(leaves: Sequence[bytes], index: int) -> list[Step]:
    """The neighbours that lead from the leaf at `index` to the root."""
    steps, level = [], list(leaves)
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            steps.append(Step(neighbour < index, level[neighbour]))
        level, index = _next_level(level), index // 2
    return steps


def first_link(log_id: str) -> bytes:
    """What the chain of a log begins with."""
    return sha256(b"ticketing log\n" + log_id.encode()).digest()


def link(
    previous: bytes, *, number: int, first_position: int, last_position: int, events: int, root: bytes
) -> bytes:
    """The chain's hash after one more page."""
    head = _LINK.pack(2, number, first_position, last_position, events)
    return sha256(head + previous + root).digest()


def split(leaves: bytes) -> list[bytes]:
    return [leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)]


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
