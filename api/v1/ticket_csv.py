"""The list of tickets as a CSV file (RFC 4180), in UTF-8 with a byte order mark, for spreadsheet programs.

A reference, such as `property`, has two columns: `property_id` and `property_name`. A text that a spreadsheet
program could take for a formula begins with an apostrophe (CWE-1236, OWASP).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args

import falcon
import msgspec
from msgspec.structs import replace

from api.http.queries import pairs_of
from api.http.resource import JSON
from domain.errors import Invalid
from projections.ticket_filters import TicketQuery
from projections.views import Page, Reference, TicketFields, TicketSummary

CSV = "text/csv"
ROWS_AT_ONCE = 500
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_JSON_ONLY = ("page", "per_page", "cursor", "include")

ReadPage = Callable[[TicketQuery], Page[TicketSummary]]


class _Column(NamedTuple):
    """A column with the values of `field`, or of `part` of the reference in that field."""

    header: str
    field: str
    part: str | None = None


def _columns_of(field: msgspec.structs.FieldInfo) -> list[_Column]:
    if Reference in (field.type, *get_args(field.type)):
        return [_Column(f"{field.name}_{part}", field.name, part) for part in Reference.__struct_fields__]
    return [_Column(field.name, field.name)]


COLUMNS = [column for field in msgspec.structs.fields(TicketFields) for column in _columns_of(field)]
DESCRIPTION = (
    f"With `Accept: {CSV}` the answer is the whole list as a CSV file, however long it is, in UTF-8 with a"
    f" byte order mark. Its columns are {', '.join(f'`{column.header}`' for column in COLUMNS)}; `fields`"
    " selects among them. A text that begins with a character that spreadsheet programs take for the start of"
    " a formula gets an apostrophe before it. `page`, `per_page`, `cursor` and `include` are refused. A"
    " transfer that ends without the last chunk is incomplete."
)


def prefers_csv(req: falcon.Request) -> bool:
    """Whether the client prefers CSV to JSON (RFC 9110 section 12.5.1)."""
    return req.client_prefers((JSON, CSV)) == CSV


def respond_with_csv(
    req: falcon.Request, resp: falcon.Response, query: TicketQuery, fields: Collection[str], read: ReadPage
) -> None:
    """Answer with all tickets of the query. The first ones are read before the answer begins, so that a
    failure until then is an error in JSON."""
    _refuse_parameters(req)
    columns = [column for column in COLUMNS if not fields or column.field in ("id", *fields)]
    query = replace(query, limit=ROWS_AT_ONCE, offset=0, count=False)
    first = read(query)
    resp.content_type = f"{CSV}; charset=utf-8"
    resp.downloadable_as = "tickets.csv"
    if req.method != "HEAD":
        resp.stream = _pieces(query, columns, first, read)


def _refuse_parameters(req: falcon.Request) -> None:
    given = {name for name, _ in pairs_of(req.query_string)}
    message = f"The {{}} parameter cannot be combined with Accept: {CSV}, which returns the whole list."
    if details := {name: [message.format(name)] for name in _JSON_ONLY if name in given}:
        raise Invalid(details)


def _pieces(
    query: TicketQuery, columns: Collection[_Column], page: Page[TicketSummary], read: ReadPage
) -> Iterator[bytes]:
    """Yields the file in pieces. Holds no connection to the database between two of them."""
    yield _BYTE_ORDER_MARK + encode_rows([[column.header for column in columns]])
    while True:
        if page.items:
            yield encode_rows([[_value(ticket, column) for column in columns] for ticket in page.items])
        if page.last_key is None:
            return
        page = read(replace(query, after=page.last_key))


def encode_rows(rows: Iterable[Iterable[object]]) -> bytes:
    """The rows as lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _value(ticket: TicketFields, column: _Column) -> Any:
    value = getattr(ticket, column.field)
    return value if value is None or column.part is None else getattr(value, column.part)


def _cell(value: object) -> str:
    """The value as text that no spreadsheet program takes for a formula."""
    text = _text(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case list() | tuple():
            return ", ".join(map(str, value))
        case Mapping():
            return ", ".join(f"{name}:{item}" for name, item in value.items())
        case _:
            return str(value)
