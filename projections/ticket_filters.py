"""The query for a list of tickets, and the fragments of SQL for its filters and orders."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, LiteralString

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import named_queries
from projections.filters import external_id_filter, id_filter, id_parameters
from projections.included import Include, included_column

Sort = Literal["created_at", "updated_at", "priority", "relevance"]
Order = Literal["asc", "desc"]

_sql = named_queries(Path(__file__).parent / "sql" / "tickets.sql")

# The column of each order, before the id, and its type. The order by relevance has a statement of its own.
SORT_COLUMNS: dict[Sort, tuple[LiteralString, LiteralString]] = {
    "created_at": ("created_at", "timestamptz"),
    "updated_at": ("updated_at", "timestamptz"),
    "priority": ("priority_rank", "smallint"),
}
_SIGNS: dict[Order, tuple[LiteralString, LiteralString]] = {"asc": (">", ""), "desc": ("<", " DESC")}
# The condition for rows after that of a cursor, and the expressions of ORDER BY.
AFTER: dict[tuple[Sort, Order], LiteralString] = {
    (sort, order): f"(t.{column}, t.id) {sign} (%(after_value)s::{kind}, %(after_id)s)"
    for sort, (column, kind) in SORT_COLUMNS.items()
    for order, (sign, _) in _SIGNS.items()
}
ORDER: dict[tuple[Sort, Order], LiteralString] = {
    (sort, order): f"t.{column}{direction}, t.id{direction}"
    for sort, (column, _) in SORT_COLUMNS.items()
    for order, (_, direction) in _SIGNS.items()
}
_SHOWN_NAMES = _sql["shown_names"]
# The columns of NamedTicketRow that TicketRow does not have, without anything included.
SHOWN_COLUMNS: LiteralString = f"{_SHOWN_NAMES}, NULL::text"
PUBLIC = "BD"  # the weights of terms that are not from internal comments
INACTIVE: LiteralString = f"({_sql['has_inactive_assignee']})"
_INACTIVE_NOT_CLOSED: LiteralString = f"(t.status <> 'closed' AND {INACTIVE})"


def any_of(name: LiteralString, inactive: LiteralString) -> LiteralString:
    """The fragment of a filter by assignees whose items are ids, "none" and "inactive"."""
    return (
        f"(t.assignee_id = ANY(%({name})s) OR 'none' = ANY(%({name})s) AND t.assignee_id IS NULL"
        f" OR 'inactive' = ANY(%({name})s) AND {inactive})"
    )


FILTERS: dict[str, LiteralString] = {
    "reach": "t.property_id = ANY(%(reach)s)",
    "requester": "t.requester_id = %(requester)s",
    "status": "t.status = ANY(%(status)s)",
    "priority": "t.priority = ANY(%(priority)s)",
    **id_filter("t.assignee_id", "assigned_to"),
    "unassigned": "t.assignee_id IS NULL",
    "inactive": INACTIVE,
    "inactive_not_closed": _INACTIVE_NOT_CLOSED,
    "mixed": any_of("mixed", INACTIVE),
    "mixed_not_closed": any_of("mixed_not_closed", _INACTIVE_NOT_CLOSED),
    **id_filter("t.property_id", "property_id"),
    **id_filter("t.unit_id", "unit_id"),
    **id_filter("t.requester_id", "requester_id"),
    "category": "t.category = ANY(%(category)s)",
    "tag": "t.tags && %(tag)s",
    "external_id": external_id_filter("t.id", "ticket"),
    "created_after": "t.created_at > %(created_after)s",
    "created_before": "t.created_at < %(created_before)s",
    "updated_after": "t.updated_at > %(updated_after)s",
    "updated_before": "t.updated_at < %(updated_before)s",
    "q": "t.id = ANY((SELECT ids FROM found)::text[])",
}


class TicketQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of tickets. Filters combine with AND, the items of one filter with OR. The item "none" of
    `assigned_to` finds the unassigned, and "inactive" those whose assignee can no longer work on them,
    without closed ones unless `status` is given. With `finds_names`, a word of `q` also finds tickets by the
    name of their property, unit, requester, assignee or category.

    With `as_of`, the tickets, filters, sort and order refer to the state at that moment. `after` is the
    `last_key` of the page before. Without `count` the page has no total. `include` cannot be combined with
    `as_of`.
    """

    status: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    external_id: tuple[str, ...] = ()
    assigned_to: tuple[str, ...] = ()
    requester_id: tuple[str, ...] = ()
    property_id: tuple[str, ...] = ()
    unit_id: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    q: str | None = None
    finds_names: bool = False
    as_of: datetime | None = None
    sort: Sort = "created_at"
    order: Order = "desc"
    limit: int = 10
    offset: int = 0
    after: tuple[str | int, str] | None = None
    count: bool = True
    include: tuple[Include, ...] = ()


def shown_columns(caller: Caller, query: TicketQuery) -> LiteralString:
    """The columns of NamedTicketRow that TicketRow does not have, for the ticket `t`."""
    return f"{_SHOWN_NAMES}, {included_column(caller, query.include)}"


def filters_of(caller: Caller, query: TicketQuery) -> dict[str, Any]:
    """The parameters of the filters in force, each under the name of its fragment."""
    given: dict[str, Any] = {}
    if caller.role == "guest":
        given["requester"] = caller.principal_id
        if caller.key_property_ids is not None:
            given["reach"] = list(caller.key_property_ids)
    elif caller.property_ids is not None:
        given["reach"] = list(caller.property_ids)
    given |= _assignees(query)
    for name in ("property_id", "unit_id", "requester_id"):
        given |= id_parameters(name, getattr(query, name))
    for name in ("status", "priority", "category", "tag", "external_id"):
        if values := getattr(query, name):
            given[name] = list(dict.fromkeys(values))
    for name in ("created_after", "created_before", "updated_after", "updated_before"):
        if (value := getattr(query, name)) is not None:
            given[name] = value
    return given


def _assignees(query: TicketQuery) -> dict[str, Any]:
    """The parameter of the filter by assignees, under the name of the fragment that fits its items."""
    items = set(query.assigned_to)
    if items == {"none"}:
        return {"unassigned": True}
    closed = "" if query.status else "_not_closed"
    if items == {"inactive"}:
        return {f"inactive{closed}": True}
    if items & {"none", "inactive"}:
        return {f"mixed{closed}": list(items)}
    return id_parameters("assigned_to", query.assigned_to)
