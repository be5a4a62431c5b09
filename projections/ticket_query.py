"""The statement for a list of tickets: of present ones (ticket_list.py), of a search, or as of a time."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from domain.access import Caller
from domain.errors import Invalid
from domain.text import NO_WORDS
from infrastructure.storage.postgres import named_queries
from projections.rows import PastTicketRow, TicketRow, columns, columns_of, compose, shared_fields
from projections.search_query import parse_search
from projections.ticket_filters import AFTER, FILTERS, ORDER, Order, Sort, TicketQuery, filter_parameters
from projections.ticket_list import build_present_list

_sql = {
    **named_queries(Path(__file__).parent / "sql" / "tickets.sql"),
    **named_queries(Path(__file__).parent / "sql" / "past_tickets.sql"),
    **named_queries(Path(__file__).parent / "sql" / "ticket_search.sql"),
}

_FOUND = {
    "now": compose(_sql["found"], ids=sql.SQL(_sql["find_now"])),
    "past": compose(
        _sql["found"], ids=sql.SQL(_sql["find_as_of"]).format(in_force=sql.SQL(_sql["in_force"]))
    ),
}
_PUBLIC = "D"  # the weight of terms that are not from internal comments
# "kept": for a list as of an earlier time, unless the caller is an auditor.
_FILTERS: dict[str, LiteralString] = FILTERS | {"kept": _sql["not_deleted_since"]}


def build_list(caller: Caller, query: TicketQuery) -> tuple[LiteralString, dict[str, Any]]:
    """The statement, composed of the fragments above, and its parameters, which contain all client values.

    It returns up to one ticket more than the limit.
    """
    if query.q is None and query.as_of is None:
        return build_present_list(caller, query)
    parameters = filter_parameters(caller, query)
    search = None
    if query.q is not None:
        search = parse_search(query.q, weight=_PUBLIC if caller.role == "guest" else "")
        if not search.has_words:
            raise Invalid({"q": [NO_WORDS]})
        parameters["q"] = search.whole
    names = _names(caller, query, parameters)
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
    shape = (query.sort, query.order, query.after is not None, query.count, query.as_of is not None)
    return _statement(names, *shape), parameters


def _names(caller: Caller, query: TicketQuery, parameters: dict[str, Any]) -> tuple[str, ...]:
    """The names of the fragments in force. Only auditors see the past of a ticket that is deleted now."""
    if query.as_of is None:
        return tuple(parameters)
    return tuple(parameters) if caller.is_auditor else (*parameters, "kept")


@lru_cache(maxsize=512)
def _statement(
    names: tuple[str, ...], sort: Sort, order: Order, after: bool, count: bool, is_past: bool
) -> LiteralString:
    """The statement as text: psycopg renders a Composed at every call."""
    filters = sql.SQL(" AND ").join([sql.SQL("NOT t.is_deleted"), *(sql.SQL(_FILTERS[n]) for n in names)])
    source: sql.Composable = sql.SQL("read.tickets")
    if is_past:
        source = sql.SQL(_sql["tickets_as_of"]).format(
            columns=columns(shared_fields(TicketRow, PastTicketRow))
        )
    total: sql.Composable = sql.SQL("NULL::bigint")
    if count:
        total = sql.SQL(_sql["count_tickets"]).format(source=source, filters=filters)
    found = sql.SQL(_FOUND["past" if is_past else "now"] if "q" in names else "")
    composed = sql.SQL(_sql["list_tickets_as_of" if is_past else "list_tickets"]).format(
        columns=columns_of(TicketRow, "t"),
        found=found,
        source=source,
        filters=filters,
        after=sql.SQL(AFTER[sort, order] if after else ""),
        order=sql.SQL(ORDER[sort, order]),
        total=total,
    )
    return composed.as_string(None)


def sort_key(sort: Sort, row: TicketRow) -> str | int:
    """The value of the sort column for a cursor; times to the microsecond."""
    if sort == "priority":
        return row.priority_rank
    return (row.created_at if sort == "created_at" else row.updated_at).isoformat()
