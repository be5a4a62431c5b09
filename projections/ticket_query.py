"""The filters and orders of a list of tickets, and the statement that selects it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, LiteralString

import msgspec
from psycopg import sql

from domain.access import Caller
from domain.errors import Invalid
from domain.text import NO_WORDS
from infrastructure.storage.postgres import named_queries
from projections.filters import id_filter, id_parameters
from projections.rows import TicketRow, columns_of, compose
from projections.search_query import parse_search
from projections.ticket_list_as_of import FEW, Shape, compose_list_as_of

Sort = Literal["created_at", "updated_at", "priority", "relevance"]
Order = Literal["asc", "desc"]

_sql = {
    **named_queries(Path(__file__).parent / "sql" / "tickets.sql"),
    **named_queries(Path(__file__).parent / "sql" / "ticket_search.sql"),
}

AFTER: dict[tuple[Sort, Order], LiteralString] = {
    ("created_at", "asc"): "AND (t.created_at, t.id) > (%(after_value)s::timestamptz, %(after_id)s)",
    ("created_at", "desc"): "AND (t.created_at, t.id) < (%(after_value)s::timestamptz, %(after_id)s)",
    ("updated_at", "asc"): "AND (t.updated_at, t.id) > (%(after_value)s::timestamptz, %(after_id)s)",
    ("updated_at", "desc"): "AND (t.updated_at, t.id) < (%(after_value)s::timestamptz, %(after_id)s)",
    ("priority", "asc"): "AND (t.priority_rank, t.id) > (%(after_value)s::smallint, %(after_id)s)",
    ("priority", "desc"): "AND (t.priority_rank, t.id) < (%(after_value)s::smallint, %(after_id)s)",
}
ORDER: dict[tuple[Sort, Order], LiteralString] = {
    ("created_at", "asc"): "t.created_at, t.id",
    ("created_at", "desc"): "t.created_at DESC, t.id DESC",
    ("updated_at", "asc"): "t.updated_at, t.id",
    ("updated_at", "desc"): "t.updated_at DESC, t.id DESC",
    ("priority", "asc"): "t.priority_rank, t.id",
    ("priority", "desc"): "t.priority_rank DESC, t.id DESC",
}
_FOUND = compose(_sql["found"], ids=sql.SQL(_sql["find_as_of"]).format(in_force=sql.SQL(_sql["in_force"])))
NO_RELEVANCE = "The order by relevance needs the parameter q, and cannot be combined with as_of."
SHOWN_NAMES = _sql["shown_names"]
PUBLIC = "BD"  # the weights of terms that are not from internal comments
_INACTIVE: LiteralString = f"({_sql['has_inactive_assignee']})"
_INACTIVE_NOT_CLOSED: LiteralString = f"(t.status <> 'closed' AND {_INACTIVE})"


def _any_of(name: LiteralString, inactive: LiteralString) -> LiteralString:
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
    "inactive": _INACTIVE,
    "inactive_not_closed": _INACTIVE_NOT_CLOSED,
    "mixed": _any_of("mixed", _INACTIVE),
    "mixed_not_closed": _any_of("mixed_not_closed", _INACTIVE_NOT_CLOSED),
    **id_filter("t.property_id", "property_id"),
    **id_filter("t.unit_id", "unit_id"),
    **id_filter("t.requester_id", "requester_id"),
    "category": "t.category = ANY(%(category)s)",
    "created_after": "t.created_at > %(created_after)s",
    "created_before": "t.created_at < %(created_before)s",
    "updated_after": "t.updated_at > %(updated_after)s",
    "updated_before": "t.updated_at < %(updated_before)s",
    "q": "t.id = ANY((SELECT ids FROM found)::text[])",
}
_BY_REQUESTER = frozenset(("requester", "requester_id", "requester_id_any"))


class NamedTicketRow(TicketRow, frozen=True):
    """A ticket with the names that it shows, in the order of the statement shown_names."""

    property_name: str
    unit_name: str | None
    requester_name: str
    assignee_name: str | None


class RankedTicketRow(NamedTicketRow, frozen=True):
    """A ticket in the order by relevance, with the value for a cursor."""

    relevance: str


class TicketQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of tickets. Filters combine with AND, the items of one filter with OR. The item "none" of
    `assigned_to` finds the unassigned, and "inactive" those whose assignee can no longer work on them,
    without closed ones unless `status` is given.

    With `as_of`, the tickets, filters, sort and order refer to the state at that moment. `after` is the
    `last_key` of the page before. Without `count` the page has no total.
    """

    status: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    assigned_to: tuple[str, ...] = ()
    requester_id: tuple[str, ...] = ()
    property_id: tuple[str, ...] = ()
    unit_id: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    q: str | None = None
    as_of: datetime | None = None
    sort: Sort = "created_at"
    order: Order = "desc"
    limit: int = 10
    offset: int = 0
    after: tuple[str | int, str] | None = None
    count: bool = True


def build_list(caller: Caller, query: TicketQuery, *, few: int = FEW) -> tuple[LiteralString, dict[str, Any]]:
    """The statement, composed of the fragments above, and its parameters, which contain all client values.

    It returns up to one ticket more than the limit. For `few` see projections/ticket_list_as_of.py. Searches
    of present tickets are composed by projections/found_tickets.py.
    """
    if query.sort == "relevance":
        raise Invalid({"sort": [NO_RELEVANCE]})
    parameters = filters_of(caller, query)
    search = None
    if query.q is not None:
        search = parse_search(query.q, weight=PUBLIC if caller.role == "guest" else "")
        if not search.has_words:
            raise Invalid({"q": [NO_WORDS]})
        parameters["q"] = search.whole
    names = tuple(parameters)
    if search is not None:
        parameters |= search._asdict()
        parameters |= {"all_required": search.all_required, "any_required": search.any_required}
        parameters["visibilities"] = ["public"] if caller.role == "guest" else ["public", "internal"]
    if query.as_of is not None:
        parameters["as_of"] = query.as_of
    if query.after:
        parameters["after_value"], parameters["after_id"] = query.after
    parameters["limit"] = query.limit + 1  # the last one shows whether there is a next page
    parameters["offset"] = query.offset
    has_cursor = query.after is not None
    if query.as_of is not None:
        shape = Shape(query.sort, query.order, has_cursor, query.count, few)
        return _statement_as_of(names, shape, caller.is_auditor), parameters
    return _statement(names, query.sort, query.order, has_cursor, query.count), parameters


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
    for name in ("status", "priority", "category"):
        if values := getattr(query, name):
            given[name] = list(values)
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


@lru_cache(maxsize=512)
def _statement(names: tuple[str, ...], sort: Sort, order: Order, after: bool, count: bool) -> LiteralString:
    """The statement as text: psycopg renders a Composed at every call."""
    filters = sql.SQL(" AND ").join([sql.SQL("NOT t.is_deleted"), *(sql.SQL(FILTERS[n]) for n in names)])
    source = sql.SQL("read.tickets")
    total: sql.Composable = sql.SQL("NULL::bigint")
    if count:
        total = sql.SQL(_sql["count_tickets"]).format(source=source, filters=filters)
    composed = sql.SQL(_sql["list_tickets"]).format(
        columns=columns_of(TicketRow, "t"),
        names=sql.SQL(SHOWN_NAMES),
        source=source,
        filters=filters,
        after=sql.SQL(AFTER[sort, order] if after else ""),
        order=sql.SQL(ORDER[sort, order]),
        total=total,
    )
    return composed.as_string(None)


@lru_cache(maxsize=512)
def _statement_as_of(names: tuple[str, ...], shape: Shape, is_auditor: bool) -> LiteralString:
    """The statement as of an earlier time. Only auditors see the past of a ticket that is deleted now."""
    return compose_list_as_of(
        shape,
        [FILTERS[name] for name in names],
        shown_names=SHOWN_NAMES,
        kept=not is_auditor,
        by_requester=not _BY_REQUESTER.isdisjoint(names),
        found=sql.SQL(_FOUND if "q" in names else ""),
    )


def sort_key(sort: Sort, row: TicketRow) -> str | int:
    """The value of the sort column for a cursor; times to the microsecond."""
    if isinstance(row, RankedTicketRow):
        return row.relevance
    if sort == "priority":
        return row.priority_rank
    return (row.created_at if sort == "created_at" else row.updated_at).isoformat()
