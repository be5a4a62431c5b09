"""The statement that lists the present tickets that match a search.

A frequent word is found in the first tickets of the order, a rare one by the index of words. The tickets of
one person, unit or small property are compared one by one. The statement counts, and decides by these counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from domain.access import Caller
from domain.errors import Invalid
from domain.text import NO_WORDS
from domain.ticket import PRIORITIES
from infrastructure.storage.postgres import named_queries
from projections.rows import TicketRow, columns_of
from projections.search_query import all_of, any_of, parse_search
from projections.search_terms import quote
from projections.ticket_query import (
    AFTER,
    FILTERS,
    ORDER,
    PUBLIC,
    SHOWN_NAMES,
    Order,
    Sort,
    TicketQuery,
    filters_of,
)

FEW = 5_000  # tickets of a person, unit or property that are compared one by one
MOST_READ = 10_000  # tickets of the order
MOST_COMPARED = 2_000  # of them, those that pass the filters
MOST_WALKED = 300  # matches before the end of a page
FREQUENT = 2_000  # matches; of fewer the index of words finds all sooner

_sql = named_queries(Path(__file__).parent / "sql" / "found_tickets.sql")
_FILTERS = FILTERS | {"priority": "t.priority_rank = ANY(%(priority)s)"}
# The filters by columns that documents have.
_OF_DOCUMENTS = {"status", "priority", "created_after", "created_before"}
# The filters by terms of documents, and the signs before these terms.
_IN_TERMS = {"reach": "@", "property_id": "@", "property_id_any": "@", "category": "#"}
# The filters whose tickets an index has together, the most selective ones first.
_ANCHORS = (
    *("requester", "requester_id", "requester_id_any", "unit_id", "unit_id_any"),
    *("assigned_to", "assigned_to_any", "property_id", "property_id_any", "reach"),
)
_KEY: dict[Sort, LiteralString] = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "priority": "priority_rank",
}


def build_search(caller: Caller, query: TicketQuery) -> tuple[LiteralString, dict[str, Any]]:
    """The statement and its parameters, as build_list returns them, for a query with `q`, without `as_of`."""
    is_guest = caller.role == "guest"
    search = parse_search(query.q or "", weight=PUBLIC if is_guest else "")
    if not search.has_words:
        raise Invalid({"q": [NO_WORDS]})
    filters = filters_of(caller, query)
    names = tuple(filters)
    if query.priority:
        filters["priority"] = [PRIORITIES.index(priority) + 1 for priority in query.priority]
    parameters = {
        **filters,
        "q": search.whole,
        "indexed": _indexed(search.whole, filters),
        "required": search.required,
        "excluded": search.excluded,
        "visibilities": ["public"] if is_guest else ["public", "internal"],
        "limit": query.limit + 1,  # the last one shows whether there is a next page
        "offset": query.offset,
    }
    if query.after:
        parameters["after_value"], parameters["after_id"] = query.after
    shape = (query.sort, query.order, query.after is not None, query.count, is_guest)
    return _statement(names, *shape), parameters


def _indexed(query: str, filters: dict[str, Any]) -> str:
    """The query for the index of words, which also has the properties and categories of tickets."""
    conditions = [query]
    for name, sign in _IN_TERMS.items():
        if name in filters:
            given = filters[name]
            values = [given] if isinstance(given, str) else given
            conditions.append(any_of([_quoted(sign + value) for value in values or [""]]))
    return all_of(conditions)


def _quoted(term: str) -> str:
    """The term in the text of a tsquery, whatever its characters are."""
    return quote(term.replace("\\", "\\\\").replace("'", "''"))


@lru_cache(maxsize=512)
def _statement(
    names: tuple[str, ...], sort: Sort, order: Order, is_after: bool, count: bool, is_guest: bool
) -> LiteralString:
    """The statement as text. The tickets of guests are always compared one by one: they are few, and the
    index of words does not know which words are public."""
    anchor = next((name for name in _ANCHORS if name in names), None)
    near = f"(SELECT count(*) <= {FEW} FROM near)" if anchor else "false"
    # Matches in one property or in the reach of a caller are not many, so that they are kept, and found once.
    is_narrow = any(name in names for name in ("reach", "property_id", "property_id_any"))
    extreme, first, operator = ("max", "greatest", "<=") if order == "desc" else ("min", "least", ">=")
    has_key = sort != "updated_at" or bool(_of_tickets(names))
    starts = count and has_key
    parts = {
        "columns": columns_of(TicketRow, "t"),
        "names": sql.SQL(SHOWN_NAMES),
        "key": sql.Identifier(_KEY[sort]),
        "order": sql.SQL(ORDER[sort, order]),
        "after": sql.SQL(AFTER[sort, order] if is_after else ""),
        "filters": _all(names),
        "matches": sql.SQL(_sql["matches"]),
        "anchor": sql.SQL(_FILTERS[anchor] if anchor else "false"),
        "at_most": sql.SQL("" if is_guest else f"LIMIT {FEW + 1}"),
        "is_near": sql.SQL("true" if is_guest else near),
        "documents": _documents(names),
        "matched": sql.SQL("matched" if has_key else _sql["matched_with_changes"]),
        "materialized": sql.SQL("MATERIALIZED" if is_narrow else "NOT MATERIALIZED"),
        "extreme": sql.SQL(extreme),
        "first": sql.SQL(first),
        "start": sql.SQL(f"AND t.{_KEY[sort]} {operator} (SELECT start FROM total)" if starts else ""),
        "counted": sql.Identifier(_KEY[sort] if starts else "created_at"),
        "frequent": sql.Literal(FREQUENT),
        "most_read": sql.Literal(MOST_READ),
        "most_compared": sql.Literal(MOST_COMPARED),
        "most_walked": sql.Literal(MOST_WALKED),
    }
    parts["parts"] = sql.SQL(_sql["parts"]).format(**parts)
    parts["total"] = sql.SQL(_sql["count_found" if count else "count_nothing"]).format(**parts)
    return sql.SQL(_sql["list_found"]).format(**parts).as_string(None)


def _documents(names: Iterable[str]) -> sql.Composed:
    """The query of all matches that have a document."""
    found = sql.SQL(_sql["documents"]).format(filters=_all([n for n in names if n in _OF_DOCUMENTS]))
    others = _of_tickets(names)
    if not others:
        return found
    return sql.SQL(_sql["documents_with_tickets"]).format(documents=found, filters=_all(others))


def _of_tickets(names: Iterable[str]) -> list[str]:
    """The filters that need the ticket."""
    return [name for name in names if name not in _OF_DOCUMENTS and name not in _IN_TERMS]


def _all(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(" AND ").join([sql.SQL("NOT t.is_deleted"), *(sql.SQL(_FILTERS[n]) for n in names)])
