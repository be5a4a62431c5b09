"""Splits a file of any size into lines, without holding more than one line of a bounded length."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MOST_BYTES = 1_048_576  # of a line, with its end
TOO_LONG = f"The line is longer than {MOST_BYTES:,} bytes. It was skipped."
MARK_INSIDE = "The line begins with a byte order mark, which is allowed only at the beginning of the file."
_SKIPPED_BYTES = 65_536  # read at once
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class RawLine(NamedTuple):
    """A line of the file: its number from 1 on, and its bytes or the reason why it cannot be used."""

    number: int
    content: bytes
    problem: str | None = None


def split_lines(stream: BinaryIO) -> Iterator[RawLine]:
    """Yield the lines, without the byte order mark at the beginning of the file."""
    number = 0
    while content := stream.readline(MOST_BYTES + 1):
        number += 1
        if len(content) > MOST_BYTES:
            _skip_rest(stream, content)
            yield RawLine(number, b"", TOO_LONG)
        elif number == 1 and content.startswith(_UTF_16):
            yield RawLine(number, b"", "The file is in UTF-16. Save it in UTF-8.")
        elif number == 1:
            yield RawLine(number, content.removeprefix(codecs.BOM_UTF8))
        else:
            yield RawLine(number, content, MARK_INSIDE if content.startswith(codecs.BOM_UTF8) else None)


def _skip_rest(stream: BinaryIO, content: bytes) -> None:
    """Read on to the end of the line that begins with `content`."""
    while content and not content.endswith(b"\n"):
        content = stream.readline(_SKIPPED_BYTES)
