"""Reads the items of an import from the lines of a file, NDJSON or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

from api.http.bodies import NotJson, parse_object
from api.http.import_csv import CsvRows
from api.http.import_lines import split_lines
from api.http.sent_values import SentValues
from commands.import_items import KINDS, Item, Kind
from domain.errors import Details, DomainError, Invalid

FileFormat = Literal["ndjson", "csv"]
_LISTS = {"tags": " ", "properties": " "}  # columns of CSV with several values, and what separates them


class Line(NamedTuple):
    """A line of the file: its number from 1 on, and its item or the reason why it cannot be read."""

    number: int
    item: Item | DomainError


def read_lines(stream: BinaryIO, file_format: FileFormat) -> Iterator[Line]:
    """Yield the lines that are not empty. Raises Invalid for a CSV file without a header.

    In CSV the header names the fields; a cell without text is an absent field. Tags and properties are
    separated by spaces. Tickets in CSV have no comments. A line that cannot be read is refused, and the next
    is read.
    """
    return _read_csv(stream) if file_format == "csv" else _read_ndjson(stream)


def read_item(given: Mapping[str, Any]) -> Item:
    """The item of an object with the field `kind`, by default a ticket. Raises Invalid for an unknown one."""
    fields = dict(given)
    kind: Any = fields.pop("kind", "ticket")
    if kind not in KINDS:
        raise Invalid({"kind": [f"The kind field must be one of: {', '.join(get_args(Kind))}."]})
    return Item(kind, SentValues(fields, KINDS[kind]))


def _read_ndjson(stream: BinaryIO) -> Iterator[Line]:
    for line in split_lines(stream):
        if line.problem is not None:
            yield Line(line.number, Invalid({"line": [line.problem]}))
        elif line.content.strip():
            yield Line(line.number, _read_json(line.content))


def _read_json(line: bytes) -> Item | DomainError:
    try:
        return read_item(parse_object(line))
    except NotJson as error:
        return Invalid({"line": [str(error).replace("The body", "The line")]})
    except DomainError as refusal:
        return refusal


def _read_csv(stream: BinaryIO) -> Iterator[Line]:
    rows = CsvRows(stream)
    for row in rows:
        if not rows.names:
            if row.problems:
                raise Invalid(row.problems)
            rows.names = _read_header(row.cells)
        else:
            item = Invalid(row.problems) if row.problems else _read_row(rows.names, row.cells)
            yield Line(row.number, item)


def _read_header(row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    known = {"kind"} | {field for kind in KINDS.values() for field in kind.__struct_fields__} - {"comments"}
    details: Details = {
        name: ["There is no such column."] for name in names if name not in known | {"address"}
    }
    if len(set(names)) != len(names):
        details["line"] = ["The header has a column twice."]
    if details:
        raise Invalid(details)
    return names


def _read_row(header: Sequence[str], row: list[str]) -> Item | DomainError:
    if len(row) != len(header):
        first_missing = header[len(row)] if len(row) < len(header) else "line"
        return Invalid({first_missing: [f"The line has {len(row)} cells; the header has {len(header)}."]})
    fields: dict[str, Any] = {name: cell for name, cell in zip(header, row, strict=True) if cell.strip()}
    for name, separator in _LISTS.items():
        if name in fields:
            fields[name] = [part for part in fields[name].split(separator) if part]
    try:
        if "address" in fields:
            fields["address"] = parse_object(fields["address"].encode())
        return read_item(fields)
    except NotJson:
        return Invalid({"address": ["The address must be a JSON object."]})
    except DomainError as refusal:
        return refusal
