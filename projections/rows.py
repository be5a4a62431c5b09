"""The rows of the read tables: one struct for each table, whose fields are the table's columns.

Statements in `sql/` have `{columns}` where they list columns; `compose` replaces it with a struct's fields,
once, at import. A row is then read by name: `TicketRow(*row)`. sql/tables.sql declares the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg import sql

from domain.access import Role
from domain.comment import Visibility
from domain.ticket import Priority, Status
from domain.user import Preferences

R = TypeVar("R", bound=msgspec.Struct)


class PropertyRow(msgspec.Struct, frozen=True):
    """`position`, here and in UserRow and TicketRow: the position of the last event. `search`, here and in
    UnitRow and UserRow: the words by which it is found (projections/name_words.py)."""

    id: str
    version: int
    position: int
    name: str
    street: str
    city: str
    state: str
    zip: str
    country: str
    units_count: int
    external_ids: dict[str, str] | None
    search: str
    name_position: int
    created_at: datetime
    updated_at: datetime


class UnitRow(msgspec.Struct, frozen=True):
    property_id: str
    id: str
    name: str
    external_ids: dict[str, str] | None
    search: str
    name_position: int
    created_at: datetime


class UserRow(msgspec.Struct, frozen=True):
    """`preferences` is decoded JSON; `read_preferences` converts it."""

    id: str
    version: int
    position: int
    name: str
    email: str
    phone: str | None
    role: Role
    property_ids: list[str]
    preferences: dict[str, Any]
    is_active: bool
    external_ids: dict[str, str] | None
    search: str
    name_position: int
    created_at: datetime
    updated_at: datetime

    def read_preferences(self) -> Preferences:
        return msgspec.convert(self.preferences, Preferences)


class TicketRow(msgspec.Struct, frozen=True):
    """`number` is the position of the event that opened the ticket. A ticket without tags or
    external ids has None, which takes no space and has no entry in an index."""

    id: str
    version: int
    position: int
    title: str
    description: str
    status: Status
    priority: Priority
    priority_rank: int
    category: str
    property_id: str
    unit_id: str | None
    requester_id: str
    assignee_id: str | None
    is_deleted: bool
    comments_count: int
    internal_comments_count: int
    number: int
    tags: list[str] | None
    external_ids: dict[str, str] | None
    created_at: datetime
    updated_at: datetime


class TicketCountRow(msgspec.Struct, frozen=True):
    """The numbers of tickets of a property, assignee and category or tag, by pair of status and priority.

    projections/project_counts.py says which rows exist.
    """

    property_id: str
    assignee_id: str
    category: str
    tickets: list[int]


class PastTicketRow(msgspec.Struct, frozen=True):
    """A ticket at an earlier version, which was in force from `updated_at` until `ended_at`.

    The fields after `external_ids` are those of the aggregate; project_past_tickets.py copies them by
    position.
    """

    ticket_id: str
    priority_rank: int
    duration_bits: int
    ended_at: datetime
    tags: list[str] | None
    external_ids: dict[str, str] | None
    version: int
    status: Status
    category: str
    property_id: str
    unit_id: str | None
    requester_id: str
    assignee_id: str | None
    is_deleted: bool
    created_at: datetime
    updated_at: datetime


class PastTextRow(msgspec.Struct, frozen=True):
    """A ticket's title and description that were in force until `ended_at`."""

    ticket_id: str
    ended_at: datetime
    title: str
    description: str


class CommentRow(msgspec.Struct, frozen=True):
    """A comment. The event of the version `text_version` of the ticket has its text."""

    id: str
    ticket_id: str
    ticket_version: int
    text: str
    visibility: Visibility
    author_id: str
    created_at: datetime
    text_version: int
    edited_at: datetime | None


class SearchPartRow(msgspec.Struct, frozen=True):
    """The terms of a part of a ticket: of its texts, with an empty `part_id`, or of a comment.

    The part was in force from `began_at` until `ended_at`; either may be infinite, so both are texts here.
    `words` is the number of positions in `search`, a tsvector. `in_document`: the document of the ticket
    contains the part.
    """

    ticket_id: str
    ended_at: str
    part_id: str
    began_at: str
    visibility: Visibility
    words: int
    in_document: bool | None
    search: str


class SearchDocumentRow(msgspec.Struct, frozen=True):
    """The terms of all current parts of a ticket, as a tsvector. Internal comments have the weight A.

    The terms include the ids of the property, unit and people, the category and the tags. The other columns
    are those of the ticket.
    """

    created_at: datetime
    priority_rank: int
    is_deleted: bool
    status: Status
    ticket_id: str
    search: str


class AttachmentRow(msgspec.Struct, frozen=True):
    """A file of a ticket; its bytes are stored under `sha256`."""

    id: str
    ticket_id: str
    ticket_version: int
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


class AuditRow(msgspec.Struct, frozen=True):
    """An event as auditors search for it. The keys are hashes of ids. `left_ids`: the `property_ids` that its
    subject has left, or `~` and the id of its former requester. Ids are separated by spaces."""

    position: int
    occurred_at: datetime
    action: str
    actor_id: str
    key_id: str | None
    subject_key: int
    property_ids: str
    left_ids: str | None
    request_key: int


TABLES: dict[str, type[msgspec.Struct]] = {
    "properties": PropertyRow,
    "units": UnitRow,
    "users": UserRow,
    "tickets": TicketRow,
    "ticket_counts": TicketCountRow,
    "past_tickets": PastTicketRow,
    "past_texts": PastTextRow,
    "comments": CommentRow,
    "attachments": AttachmentRow,
    "search_parts": SearchPartRow,
    "search_documents": SearchDocumentRow,
    "audit_events": AuditRow,
}


def columns(names: Iterable[str], alias: str = "") -> sql.Composed:
    """The column names, separated by commas: `id, title`, or `t.id, t.title` with the alias `t`."""
    path = (alias,) if alias else ()
    return sql.SQL(", ").join([sql.Identifier(*path, name) for name in names])


def columns_of(row_type: type[msgspec.Struct], alias: str = "") -> sql.Composed:
    return columns(row_type.__struct_fields__, alias)


def assignments(names: Iterable[str], source: str) -> sql.Composed:
    """The assignments of an UPDATE: `title = r.title, status = r.status` with the source `r`."""
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(n), sql.Identifier(source, n)) for n in names]
    return sql.SQL(", ").join(pairs)


def compose(statement: LiteralString, **parts: sql.Composable) -> LiteralString:
    """The statement with each `{name}` replaced, as text: psycopg would render a Composed at each call."""
    return sql.SQL(statement).format(**parts).as_string(None)


def shared_fields(source: type[msgspec.Struct], target: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names of the fields that both have, in the order of `target`."""
    return tuple(name for name in target.__struct_fields__ if name in source.__struct_fields__)


def shared_values(source: msgspec.Struct, target: type[msgspec.Struct]) -> dict[str, Any]:
    """The values of the fields that `target` has under the same name."""
    names, read = _reader(type(source), target)
    return dict(zip(names, read(source), strict=True))


@cache
def _reader(source: type[msgspec.Struct], target: type[msgspec.Struct]) -> tuple[tuple[str, ...], Any]:
    names = shared_fields(source, target)
    return names, attrgetter(*names)


def split_total(row_type: type[R], rows: Sequence[tuple[Any, ...]]) -> tuple[list[R], Any]:
    """The rows of a page and the total, from rows that begin with the total.

    An empty page has no row, or one row whose other columns are null.
    """
    if not rows:
        return [], 0
    total, *_ = rows[0]
    return [row_type(*values) for _, *values in rows if values[0] is not None], total
