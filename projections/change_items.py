"""Reads the objects that have changed within a span of the log, each in its newest state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, LiteralString, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import sql

from domain.access import Role
from domain.property import Address
from infrastructure.storage.postgres import PooledConnection, named_queries
from projections.change_scope import LEAVING, Followed, Scope
from projections.rows import PropertyRow, TicketRow, UserRow, columns_of, compose, shared_values
from projections.ticket_filters import SHOWN_COLUMNS
from projections.ticket_query import NamedTicketRow
from projections.tickets import summary_of
from projections.views import Reference, TicketSummary, UserSummary, shown_values

EXAMINED_ROWS = 5_000  # of each table, for one page
_sql = named_queries(Path(__file__).parent / "sql" / "changes.sql")
_references = msgspec.json.Decoder(list[Reference])


class PropertyRecord(msgspec.Struct, kw_only=True):
    """A property without the numbers that follow from its tickets."""

    id: str
    name: str
    address: Address
    units_count: int
    external_ids: dict[str, str]


class ChangeItem(msgspec.Struct, kw_only=True):
    """`upsert`: the object is new or has changed; `gone`: it was deleted, or has left what the caller may
    see; `reach_changed`: the caller's own role or properties have changed. One of the ids is present, except
    with `reach_changed`. An `upsert` has the object with all its fields, unless `full` is false."""

    position: int
    kind: Literal["upsert", "gone", "reach_changed"]
    ticket_id: str | UnsetType = UNSET
    property_id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    version: int | UnsetType = UNSET
    ticket: TicketSummary | UnsetType = UNSET
    property: PropertyRecord | UnsetType = UNSET
    user: UserSummary | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    gained: list[str] | UnsetType = UNSET
    lost: list[str] | UnsetType = UNSET


class _UserWithReferences(UserRow, frozen=True):
    properties: str | None  # references as JSON


class _Left(NamedTuple):
    """The columns of moved_away and given_away."""

    position: int
    object_id: str
    version: int
    is_ticket: bool


def read_items(
    conn: PooledConnection,
    scope: Scope,
    after: int,
    end: int,
    *,
    limit: int,
    of: Sequence[Followed],
    full: bool,
    with_moved: bool,
    visible: Scope,
) -> tuple[list[ChangeItem], int]:
    """The changes in the scope after a position, at most `limit` of them, and the position up to which they
    are complete: `end`, or less if there are more. Rows of users show what `visible` shows.

    Only with `with_moved` they include the objects that have left the scope.
    """
    items: list[ChangeItem] = []
    reached = end
    for followed in of:
        found, complete_to = _read_changed(conn, followed, scope, (after, end), limit, full, visible)
        items += found
        reached = min(reached, complete_to)
    if with_moved and (actions := [LEAVING[each] for each in of if each in LEAVING]):
        found, reached = _read_moved(conn, scope, (after, reached), limit, actions)
        items += found
    if with_moved and "tickets" in of and scope.requester_id is not None:
        found, reached = _read_given_away(conn, scope, (after, reached), limit)
        items += found
    items = sorted((item for item in items if item.position <= reached), key=lambda item: item.position)
    if len(items) > limit:
        items = items[:limit]
        reached = items[-1].position
    newest = {(item.ticket_id, item.property_id, item.user_id): item for item in items}
    return [item for item in items if newest[item.ticket_id, item.property_id, item.user_id] is item], reached


def _read_changed(
    conn: PooledConnection,
    followed: Followed,
    scope: Scope,
    span: tuple[int, int],
    limit: int,
    full: bool,
    visible: Scope,
) -> tuple[list[ChangeItem], int]:
    """Rows of one table, and the position up to which they are complete."""
    after, end = span
    parameters = {**scope.parameters(followed), "after": after, "end": end, "limit": limit}
    rows = conn.fetch(_changed(followed, scope.condition(followed), full), parameters)
    if followed == "tickets":
        items = [_ticket(row, full) for row in rows]
    elif followed == "properties":
        items = [_property(PropertyRow(*row), full) for row in rows]
    else:
        items = [_user(_UserWithReferences(*row), full, visible) for row in rows]
    if len(rows) == limit:
        return items, items[-1].position
    if end - after <= EXAMINED_ROWS:  # no position has two rows
        return items, end
    ((examined_to,),) = conn.fetch(_examined_end(followed), {"after": after, "end": end})
    return items, end if examined_to is None else examined_to


@cache
def _changed(followed: Followed, visible: LiteralString, full: bool) -> LiteralString:
    selected: sql.Composable
    if followed == "tickets" and full:
        selected = sql.SQL("{}, {}").format(columns_of(TicketRow, "t"), sql.SQL(SHOWN_COLUMNS))
    elif followed == "tickets":
        selected = sql.SQL("t.position, t.id, t.version, t.is_deleted")
    elif followed == "properties":
        selected = columns_of(PropertyRow, "t")
    else:
        selected = sql.SQL("{}, {}").format(columns_of(UserRow, "t"), sql.SQL(_sql["properties_of_user"]))
    return compose(
        _sql["changed"],
        selected=selected,
        table=sql.Identifier(followed),
        visible=sql.SQL(visible),
        examined=sql.Literal(EXAMINED_ROWS),
    )


@cache
def _examined_end(followed: Followed) -> LiteralString:
    return compose(_sql["examined_end"], table=sql.Identifier(followed), examined=sql.Literal(EXAMINED_ROWS))


def _ticket(row: Sequence[Any], full: bool) -> ChangeItem:
    if not full:
        position, ticket_id, version, is_deleted = row
        kind: Literal["upsert", "gone"] = "gone" if is_deleted else "upsert"
        return ChangeItem(position=position, kind=kind, ticket_id=ticket_id, version=version)
    ticket = NamedTicketRow(*row)
    change = ChangeItem(position=ticket.position, kind="gone", ticket_id=ticket.id, version=ticket.version)
    if not ticket.is_deleted:
        change.kind, change.ticket = "upsert", summary_of(ticket)
    return change


def _property(row: PropertyRow, full: bool) -> ChangeItem:
    change = ChangeItem(position=row.position, kind="upsert", property_id=row.id, version=row.version)
    if full:
        others = {"address": Address(**shared_values(row, Address)), "external_ids": row.external_ids or {}}
        change.property = PropertyRecord(**shared_values(row, PropertyRecord) | others)
    return change


def _user(row: _UserWithReferences, full: bool, visible: Scope) -> ChangeItem:
    change = ChangeItem(position=row.position, kind="gone", user_id=row.id, version=row.version)
    if visible.user_is_visible(row.id, row.property_ids):
        change.kind = "upsert"
        if full:
            known = _references.decode(row.properties) if row.properties else []
            reach = visible.property_ids
            shown = [each for each in known if reach is None or each.id in reach]
            others = {
                "properties": shown,
                "active": row.is_active,
                "external_ids": row.external_ids or {},
            }
            change.user = UserSummary(**shown_values(row, UserSummary) | others)
    return change


def _read_moved(
    conn: PooledConnection, scope: Scope, span: tuple[int, int], limit: int, actions: list[str]
) -> tuple[list[ChangeItem], int]:
    """The objects that have left the scope and are outside of it now. Nothing leaves the scope of a caller
    who reaches every property."""
    parameters = scope.parameters("tickets")
    if parameters["reach"] is None:
        return [], span[1]
    if scope.requester_id is not None:
        actions = [action for action in actions if action == LEAVING["tickets"]]
    return _read_left(conn, "moved_away", {**parameters, "actions": actions}, span, limit)


def _read_given_away(
    conn: PooledConnection, scope: Scope, span: tuple[int, int], limit: int
) -> tuple[list[ChangeItem], int]:
    """The tickets of a guest that have another requester now."""
    return _read_left(conn, "given_away", scope.parameters("tickets"), span, limit)


def _read_left(
    conn: PooledConnection, statement: str, parameters: dict[str, Any], span: tuple[int, int], limit: int
) -> tuple[list[ChangeItem], int]:
    """The objects that the statement finds, as items, and the position up to which they are complete."""
    after, end = span
    span_parameters = {"after": after, "end": end, "limit": limit}
    rows = [_Left(*row) for row in conn.fetch(_sql[statement], {**parameters, **span_parameters})]
    items = [
        ChangeItem(
            position=row.position,
            kind="gone",
            ticket_id=row.object_id if row.is_ticket else UNSET,
            user_id=UNSET if row.is_ticket else row.object_id,
            version=row.version,
        )
        for row in rows
    ]
    return items, items[-1].position if len(items) == limit else end
