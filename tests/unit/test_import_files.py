"""Files with lines that cannot be read: each is a line of the report, and the next lines are read."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from api.http.import_files import read_lines
from api.http.import_lines import MOST_BYTES, TOO_LONG
from cli.import_file import BATCH_BYTES, BATCH_LINES, _batches
from commands.import_items import Item
from domain.errors import Invalid

HEADER = b"external_id,title,property,requester,created_at\n"
GOOD = b"C1,Leak,abc123,user789,2019-05-04T09:30:00Z\n"
HUGE = 500_000_000
CELLS = b"C2,Leak,abc123,user789,2019-05-04T09:30:00Z\n"


class Generated(io.RawIOBase):
    """A file that is not stored: a start, so many letters without a line feed, and an end."""

    def __init__(self, start, letters, end):
        self._parts = [io.BytesIO(start), letters, io.BytesIO(end)]

    def readable(self):
        return True

    def readinto(self, buffer):
        while self._parts:
            part = self._parts[0]
            if isinstance(part, int):
                size = min(part, len(buffer))
                buffer[:size] = b"x" * size
                self._parts[0] = part - size
            else:
                size = part.readinto(buffer)
            if size:
                return size
            del self._parts[0]
        return 0


def outcomes(content, file_format):
    """The numbers of the lines, each with the problems of its fields; None for an item."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    return {
        line.number: None if isinstance(line.item, Item) else line.item.details
        for line in read_lines(stream, file_format)
    }


@pytest.mark.parametrize(
    ("file_format", "start", "end", "expected"),
    [
        ("ndjson", b"{}\n", b"\n{}\n", {1: None, 2: {"line": [TOO_LONG]}, 3: None}),
        ("ndjson", b"{}\n", b"", {1: None, 2: {"line": [TOO_LONG]}}),
        ("csv", HEADER + b"C0,", b"\n" + GOOD, {2: {"external_id": [TOO_LONG]}, 3: None}),
    ],
)
def test_a_line_of_500_megabytes_is_skipped_in_flat_memory(file_format, start, end, expected):
    stream = io.BufferedReader(Generated(start, HUGE, end))
    tracemalloc.start()
    found = outcomes(stream, file_format)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == expected
    assert most < 4 * MOST_BYTES


def test_a_line_may_have_the_greatest_number_of_bytes_and_no_more():
    line = b'{"title":"' + b"x" * (MOST_BYTES - 13) + b'"}\n'
    assert len(line) == MOST_BYTES
    assert outcomes(line, "ndjson") == {1: None}
    assert outcomes(b" " + line, "ndjson") == {1: {"line": [TOO_LONG]}}


@pytest.mark.parametrize(
    ("broken", "field", "message", "next_line"),
    [
        (b"C2,Leak\n", "property", "The line has 2 cells; the header has 5.", 3),
        (CELLS[:-1] + b",more\n", "line", "The line has 6 cells; the header has 5.", 3),
        (b'C2,"Leak" wet,abc123,user789,2019\n', "title", "expected after", 3),
        (b'C2,"Leak,abc123,user789,2019\nC3,"Wet",abc123\n', "title", "Lines 2 to 3 were not imported.", 4),
        (b"C2,L\xe9ak,abc123,user789,2019\n", "title", "0xe9 at place 5 of line 2 is not UTF-8", 3),
        (b'C2,"a\nb",\xff,user789,2019\n', "property", "0xff at place 4 of line 3 is not UTF-8", 4),
        (b"\xef\xbb\xbf" + CELLS, "external_id", "byte order mark", 3),
        (b"C2,a\rb,abc123,user789,2019\n", "title", "new-line character", 3),
    ],
)
def test_a_broken_row_of_csv_is_refused_with_its_field_and_the_next_is_read(
    broken, field, message, next_line
):
    found = outcomes(HEADER + broken + GOOD, "csv")

    assert list(found) == [2, next_line]
    assert found[next_line] is None
    ((name, (text,)),) = found[2].items()
    assert name == field
    assert message in text


def test_a_quote_that_is_never_closed_refuses_its_row_up_to_the_greatest_cell_or_the_end():
    short = outcomes(HEADER + b'C2,"Leak,abc123\n' + GOOD * 2, "csv")
    assert list(short) == [2]
    assert "Lines 2 to 4 were not imported." in short[2]["title"][0]

    long = outcomes(HEADER + b'C2,"Leak,abc123\n' + GOOD * 10_000, "csv")
    (refused, *read) = long
    assert (refused, set(map(str, list(long.values())[1:]))) == (2, {"None"})
    assert len(read) > 5_000


def test_cells_in_quotes_without_end_do_not_fill_the_memory():
    row = b"C2," + b'"a\n",' * 400_000
    assert "The row is longer than" in str(outcomes(HEADER + row + b"\n", "csv")[2])


def test_a_batch_ends_after_so_many_lines_or_bytes():
    read = iter([1, BATCH_BYTES - 1, BATCH_BYTES, BATCH_BYTES, *[BATCH_BYTES] * 1_000])
    assert list(map(len, _batches(range(1_000), lambda: next(read)))) == [
        3,
        BATCH_LINES,
        1_000 - 3 - BATCH_LINES,
    ]


def test_an_address_that_is_nested_too_deeply_is_refused():
    row = b"property,P1,Hill," + b"[" * 100_000 + b"\n"
    assert list(outcomes(b"kind,external_id,name,address\n" + row, "csv")[2]) == ["address"]


def test_a_nul_is_refused_with_its_field():
    (line,) = read_lines(io.BytesIO(HEADER + CELLS.replace(b"Leak", b"L\0ak")), "csv")
    with pytest.raises(Invalid) as refused:
        line.item.values.read()
    assert list(refused.value.details) == ["title"]
    assert list(outcomes(b'{"title":"L\0ak"}\n', "ndjson")[1]) == ["line"]


@pytest.mark.parametrize(("file_format", "start"), [("csv", HEADER), ("ndjson", b"")])
def test_a_byte_order_mark_at_the_beginning_is_ignored(file_format, start):
    content = GOOD if file_format == "csv" else b"{}\n"
    assert list(outcomes(b"\xef\xbb\xbf" + start + content, file_format).values()) == [None]


@pytest.mark.parametrize("header", [HEADER.decode().encode("utf-16"), b"external_id,t\xe9t\n", b'a,"b\n'])
def test_a_header_that_cannot_be_read_refuses_the_file(header):
    with pytest.raises(Invalid):
        outcomes(header + GOOD, "csv")
