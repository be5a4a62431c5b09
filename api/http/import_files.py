"""Reads the items of an import from the lines of a file, NDJSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

from api.http.bodies import NotJson, parse_object
from api.http.sent_values import SentValues
from commands.import_items import KINDS, Item, Kind
from domain.errors import Details, DomainError, Invalid

FileFormat = Literal["ndjson", "csv"]
MOST_BYTES = 1_048_576  # of a line
_LISTS = {"tags": " ", "properties": " "}  # columns of CSV with several values, and what separates them


class Line(NamedTuple):
    """A line of the file: its number from 1 on, and its item or the reason why it cannot be read."""

    number: int
    item: Item | DomainError


def read_lines(lines: Iterable[bytes], file_format: FileFormat) -> Iterator[Line]:
    """Yield the lines that are not empty. Raises Invalid for a CSV file without a header.

    In CSV the header names the fields; a cell without text is an absent field. Tags and properties are
    separated by spaces. Tickets in CSV have no comments.
    """
    return _read_csv(lines) if file_format == "csv" else _read_ndjson(lines)


def read_item(given: Mapping[str, Any]) -> Item:
    """The item of an object with the field `kind`, by default a ticket. Raises Invalid for an unknown one."""
    fields = dict(given)
    kind: Any = fields.pop("kind", "ticket")
    if kind not in KINDS:
        raise Invalid({"kind": [f"The kind field must be one of: {', '.join(get_args(Kind))}."]})
    return Item(kind, SentValues(fields, KINDS[kind]))


def _read_ndjson(lines: Iterable[bytes]) -> Iterator[Line]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield Line(number, _read_json(line))


def _read_json(line: bytes) -> Item | DomainError:
    if len(line) > MOST_BYTES:
        return Invalid({"line": [f"A line may not have more than {MOST_BYTES:,} bytes."]})
    try:
        return read_item(parse_object(line))
    except NotJson as error:
        return Invalid({"line": [str(error).replace("The body", "The line")]})
    except DomainError as refusal:
        return refusal


def _read_csv(lines: Iterable[bytes]) -> Iterator[Line]:
    reader = csv.reader(_decode(lines), strict=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            yield Line(
                max(reader.line_num, 1), Invalid({"line": [f"The line is not CSV in UTF-8: {error}."]})
            )
            continue
        if not any(row):
            continue
        if header is None:
            header = _read_header(row)
        else:
            yield Line(reader.line_num, _read_row(header, row))


def _decode(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8")


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


def _read_row(header: list[str], row: list[str]) -> Item | DomainError:
    if len(row) != len(header):
        return Invalid({"line": [f"The line has {len(row)} cells; the header has {len(header)}."]})
    fields: dict[str, Any] = {name: cell for name, cell in zip(header, row, strict=True) if cell.strip()}
    for name, separator in _LISTS.items():
        if name in fields:
            fields[name] = [part for part in fields[name].split(separator) if part]
    try:
        if "address" in fields:
            fields["address"] = json.loads(fields["address"])
        return read_item(fields)
    except json.JSONDecodeError:
        return Invalid({"address": ["The address must be a JSON object."]})
    except DomainError as refusal:
        return refusal
