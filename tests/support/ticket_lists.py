"""Lists of tickets computed the plain way, by filtering and sorting the table, and random queries."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from domain.access import Caller, Role
from domain.ticket import PRIORITIES, STATUSES
from infrastructure.storage.postgres import Connection
from projections.rows import split_total
from projections.ticket_filters import FILTERS, ORDER, TicketQuery, filters_of
from projections.ticket_query import NamedTicketRow, build_list
from tests.unit.builders import NOON

TAGS = ("frequent", "rare", "unused")
CATEGORIES = ("general", "plumbing", "locks", "unused")


def random_caller(chance: random.Random) -> Caller:
    """An admin, a manager or staff of up to three properties, or a guest. Properties are p0, p1, ..."""
    role: Role = chance.choice(["admin", "manager", "staff", "guest"])
    places = frozenset(f"p{chance.randrange(4)}" for _ in range(chance.randrange(4)))
    return Caller(
        principal_id=f"u{chance.randrange(4)}",
        name="Someone",
        role=role,
        auth="api_key",
        property_ids=places if role in ("manager", "staff") else None,
    )


def random_query(chance: random.Random) -> TicketQuery:
    """A query whose filters, order and limit are random. Users are u0, u1, ..., units unit0, unit1, ..."""
    choices: dict[str, tuple[str, ...]] = {
        "status": STATUSES,
        "priority": PRIORITIES,
        "category": CATEGORIES,
        "tag": TAGS,
        "external_id": ("sap:100", "sap:2,000", "sap:3000", "crm:100"),
        "assigned_to": ("u0", "u1", "u2", "nobody", "none", "inactive"),
        "property_id": ("p0", "p1", "p2", "nowhere"),
        "requester_id": ("u0", "u1", "u2"),
        "unit_id": ("unit0", "unit1"),
    }
    filters: dict[str, Any] = {
        name: tuple(chance.sample(values, chance.randint(1, min(3, len(values)))))
        for name, values in choices.items()
        if chance.random() < 0.25
    }
    for name in ("created_after", "created_before", "updated_after", "updated_before"):
        if chance.random() < 0.1:
            filters[name] = NOON + timedelta(seconds=chance.randrange(60))
    return TicketQuery(
        **filters,
        sort=chance.choice(["created_at", "updated_at", "priority"]),
        order=chance.choice(["asc", "desc"]),
        limit=chance.choice([1, 10, 100]),
    )


def check_list(conn: Connection, caller: Caller, query: TicketQuery, chance: random.Random) -> int:
    """Compare pages, totals and a page after a cursor with the plain list. Returns its length."""
    expected = _plain_list(conn, caller, query)
    ids = [row[0] for row in expected]
    offsets = {0, max(0, len(ids) - 1), len(ids) + 5, chance.randrange(len(ids) + 1)}
    for offset in offsets:
        found, total = _fetch(conn, caller, replace(query, offset=offset))
        assert (total, found) == (len(ids), ids[offset : offset + query.limit + 1]), (caller, query, offset)
    if ids:
        place = chance.randrange(len(ids))
        last_id, *values = expected[place]
        key = values[("created_at", "updated_at", "priority").index(query.sort)]
        found, _ = _fetch(conn, caller, replace(query, after=(key, last_id), count=False))
        assert found == ids[place + 1 : place + query.limit + 2], (caller, query, place)
    return len(ids)


def _plain_list(conn: Connection, caller: Caller, query: TicketQuery) -> list[tuple[Any, ...]]:
    parameters = filters_of(caller, query)
    filters = " AND ".join(["NOT t.is_deleted", *(FILTERS[name] for name in parameters)])
    statement = (
        "SELECT t.id, t.created_at::text, t.updated_at::text, t.priority_rank FROM read.tickets t"
        f" WHERE {filters} ORDER BY {ORDER[query.sort, query.order]}"
    )
    return conn.execute(statement, parameters).fetchall()


def _fetch(conn: Connection, caller: Caller, query: TicketQuery) -> tuple[list[str], int]:
    rows, total = split_total(NamedTicketRow, conn.execute(*build_list(caller, query)).fetchall())
    return [row.id for row in rows], total
