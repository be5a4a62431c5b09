"""The rows of the read tables, and the same rows computed from the log with the domain's aggregates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from domain.aggregate import DomainEvent
from domain.attachment import Attachment
from domain.comment import Comment
from domain.comments import CommentReader
from domain.property import Property, PropertyEvent, PropertyRegistered, PropertyRenamed, UnitAdded
from domain.ticket import PRIORITIES, STATUSES, Ticket, TicketEvent
from domain.user import User, UserErased, UserEvent, UserNameChanged, UserRegistered
from infrastructure.keys.privacy import decrypt_events
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection
from projections.name_words import search_text
from projections.rows import TABLES
from tests.support.vault import VAULT

Rows = dict[str, dict[str, dict[str, Any]]]  # table, key of the row, its columns
KINDS = {Property: PropertyEvent, User: UserEvent, Ticket: TicketEvent}
NAMING = PropertyRegistered | PropertyRenamed | UserRegistered | UserNameChanged | UserErased
KEYS = {  # elsewhere: id
    "units": "property_id || '/' || id",
    "ticket_counts": "concat_ws('/', property_id, assignee_id, category)",
}
OF_A_TICKET = {"tickets": "id", "comments": "ticket_id", "attachments": "ticket_id"}  # the column with its id
# Columns that do not follow from the aggregates alone.
NOT_COMPARED = {
    "units": {"property_id", "created_at"},
    "comments": {"ticket_version"},
    "attachments": {"ticket_version"},
    "ticket_counts": {"property_id", "assignee_id", "category"},
}
COMPARED = {
    table: [
        name for name in TABLES[table].__struct_fields__ if name not in {"id", *NOT_COMPARED.get(table, ())}
    ]
    for table in ("properties", "units", "users", "tickets", "ticket_counts", "comments", "attachments")
}


def stored_rows(conn: Connection, ticket_ids: Sequence[str] | None = None, *, schema: str = "read") -> Rows:
    """Every row of the read tables in the schema, or only those about these tickets."""
    conn.execute(f"SET search_path TO {schema}")
    tables: Rows = {}
    for table, columns in COMPARED.items():
        if ticket_ids is not None and table not in OF_A_TICKET:
            continue
        condition = "" if ticket_ids is None else f" WHERE {OF_A_TICKET[table]} = ANY(%(ticket_ids)s)"
        query = f"SELECT {KEYS.get(table, 'id')} AS key, {', '.join(columns)} FROM {table}{condition}"
        cursor = conn.execute(query, {"ticket_ids": list(ticket_ids or ())})
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        tables[table] = {row.pop("key"): row for row in rows}
    return tables


def folded_rows(conn: Connection) -> Rows:
    """The rows that the read tables should have, computed from the log."""
    stored = conn.execute("SELECT notification_id, state FROM es.stored_events ORDER BY 1").fetchall()
    events = decrypt_events(conn, VAULT, [decode(state) for _, state in stored])
    return rows_of(list(zip([position for position, _ in stored], events, strict=True)))


def rows_of(log: Sequence[tuple[int, DomainEvent]]) -> Rows:
    """The rows of the read tables after these events, each with its position."""
    streams: dict[str, list[DomainEvent]] = {}
    named_at: dict[str, dict[str, int]] = {}
    numbers: dict[str, int] = {}
    last_at = {event.originator_id: {"position": position} for position, event in log}
    for position, event in log:
        streams.setdefault(event.originator_id, []).append(event)
        numbers.setdefault(event.originator_id, position)
        if isinstance(event, NAMING):
            named_at[event.originator_id] = {"name_position": position}
        elif isinstance(event, UnitAdded):
            named_at.setdefault(f"{event.originator_id}/{event.unit_id}", {"name_position": position})
    properties, users, tickets = (_fold(kind, streams.values()) for kind in KINDS)
    units = {
        f"{building.id}/{unit_id}": {
            "name": name,
            "external_ids": building.external_ids_of_unit(unit_id) or None,
            "search": search_text(name),
        }
        for building in properties
        for unit_id, name in building.units.items()
    }
    return {
        "properties": {
            each.id: _property_row(each) | named_at[each.id] | last_at[each.id] for each in properties
        },
        "units": {key: unit | named_at[key] for key, unit in units.items()},
        "users": {user.id: _user_row(user) | named_at[user.id] | last_at[user.id] for user in users},
        "tickets": {
            ticket.id: _ticket_row(ticket) | {"number": numbers[ticket.id]} | last_at[ticket.id]
            for ticket in tickets
        },
        "ticket_counts": {key: {"tickets": numbers} for key, numbers in _count(tickets).items()},
        "comments": {
            comment.id: {"ticket_id": comment_ticket_id, **_without_id(comment)}
            for comment_ticket_id, comment in _comments(streams.values())
        },
        "attachments": {
            file.id: {"ticket_id": ticket.id, **_without_id(file)}
            for ticket in tickets
            for file in ticket.attachments
        },
    }


def _comments(streams: Iterable[list[DomainEvent]]) -> Iterator[tuple[str, Comment]]:
    """Yield every comment with the id of its ticket."""
    for events in streams:
        texts = {event.originator_version: getattr(event, "text", "") for event in events}
        reader = CommentReader()
        for event in reversed(events):
            comment = reader.take(event)
            if comment is not None:
                yield event.originator_id, msgspec.structs.replace(comment, text=texts[comment.text_version])


def _fold(kind: Any, streams: Iterable[list[DomainEvent]]) -> list[Any]:
    return [kind.fold(None, events) for events in streams if isinstance(events[0], KINDS[kind])]


def _count(tickets: list[Ticket]) -> dict[str, list[int]]:
    """For each property, assignee and category or tag, "*" for all, the number of tickets by status and
    priority."""
    counts: dict[str, list[int]] = {}
    for ticket in tickets:
        place, assignee, category = ticket.property_id, ticket.assignee_id or "", ticket.category
        pair = STATUSES.index(ticket.status) * len(PRIORITIES) + PRIORITIES.index(ticket.priority)
        for key in (
            *(f"{place}/{assignee}/*", f"{place}/*/*", f"*/{assignee}/*", "*/*/*"),
            *(f"{place}/*/{category}", f"*/*/{category}"),
            *(f"{each}/*/:{tag}" for tag in ticket.tags for each in (place, "*")),
        ):
            if not ticket.is_deleted:
                counts.setdefault(key, [0] * len(STATUSES) * len(PRIORITIES))[pair] += 1
    return counts


def _property_row(building: Property) -> dict[str, Any]:
    return {
        "version": building.version,
        "name": building.name,
        **msgspec.structs.asdict(building.address),
        "units_count": len(building.units),
        "external_ids": building.external_ids or None,
        "search": search_text(building.name, building.address.street),
        "created_at": building.created_at,
        "updated_at": building.updated_at,
    }


def _user_row(user: User) -> dict[str, Any]:
    row = {name: getattr(user, name) for name in ("version", "name", "email", "phone", "role", "is_active")}
    row["search"] = search_text(user.name, user.email)
    row["property_ids"] = list(user.property_ids)
    row["external_ids"] = user.external_ids or None
    row["preferences"] = msgspec.to_builtins(user.preferences)
    return row | {"created_at": user.created_at, "updated_at": user.updated_at}


def _ticket_row(ticket: Ticket) -> dict[str, Any]:
    copied = [name for name in COMPARED["tickets"] if name in Ticket.__struct_fields__]
    others = {"tags": list(ticket.tags) or None, "external_ids": ticket.external_ids or None}
    rank = PRIORITIES.index(ticket.priority) + 1
    return {name: getattr(ticket, name) for name in copied} | others | {"priority_rank": rank}


def _without_id(part: msgspec.Struct) -> dict[str, Any]:
    facts = msgspec.structs.asdict(part)
    del facts["id"]
    facts.pop("author_id" if isinstance(part, Attachment) else "", None)  # not in the read tables
    return facts
