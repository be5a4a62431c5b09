"""The statement that lists the present tickets that match a search.

A frequent word is found in the first tickets of the order, a rare one by the index of words. The tickets of
one person or unit are compared one by one. The statement counts, and decides by these counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

from domain.access import Caller
from domain.errors import Invalid
from domain.text import NO_WORDS
from infrastructure.storage.postgres import named_queries
from projections.included import included_parameters
from projections.project_past_tickets import PRIORITY_RANK
from projections.rows import TicketRow, columns_of
from projections.search_query import all_of, any_of, parse_search, ticket_number
from projections.search_terms import quote_any
from projections.ticket_filters import (
    AFTER,
    FILTERS,
    ORDER,
    PUBLIC,
    SORT_COLUMNS,
    Order,
    Sort,
    TicketQuery,
    filters_of,
    shown_columns,
)


class Limits(NamedTuple):
    """Numbers of tickets that determine how matches are found, and how long that takes, but not which ones,
    except `ranked`."""

    near: int = 2_000  # at most so many of a person or unit are compared one by one
    read: int = 10_000  # read at most in the order of the list
    compared: int = 2_000  # compared with the words at most, of those that are read and pass the filters
    walked: int = 300  # only pages that end before so many matches are looked for in the order of the list
    frequent: int = 2_000  # with fewer matches the index of words finds all of them in less time
    ranked: int = 200  # the newest matches, which are ordered by relevance
    compared_for_ranks: int = 5_000  # `compared` for the order by relevance


LIMITS = Limits()
_sql = named_queries(Path(__file__).parent / "sql" / "found_tickets.sql")
_TERMS = named_queries(Path(__file__).parent / "sql" / "ticket_terms.sql")
_FILTERS = FILTERS | {"priority": "t.priority_rank = ANY(%(priority)s)"}
# The filters by columns that documents have.
_OF_DOCUMENTS = {"status", "priority", "created_after", "created_before"}
# The filters by terms of documents, and the signs before these terms.
_IN_TERMS = {"reach": "@", "property_id": "@", "property_id_any": "@", "category": "#", "tag": ":"}
# The filters whose tickets an index finds, the most selective ones first.
_ANCHORS = (
    "external_id",
    *("requester", "requester_id", "requester_id_any"),
    *("unit_id", "unit_id_any", "assigned_to", "assigned_to_any"),
)
_SCORE = "(t.score, t.created_at, t.id)"
_LAST_SCORE = "(%(after_score)s::bigint, %(after_at)s::timestamptz, %(after_id)s)"
_CURSOR = ("after_score", "after_at", "first_at", "first_id", "last_at", "last_id")
_AFTER_SCORE: dict[Order, LiteralString] = {
    "asc": f"AND {_SCORE} > {_LAST_SCORE}",
    "desc": f"AND {_SCORE} < {_LAST_SCORE}",
}
_ORDER_BY_SCORE: dict[Order, LiteralString] = {
    "asc": "t.score, t.created_at, t.id",
    "desc": "t.score DESC, t.created_at DESC, t.id DESC",
}
# Small numbers are sent as smallint, and the sum of two of these would be one too.
_LIMIT, _OFFSET = "%(limit)s", "%(offset)s::bigint"
_PLACE = re.compile(r"(?<!%)\{([a-z_]+)\}")


def build_search(
    caller: Caller,
    query: TicketQuery,
    limits: Limits = LIMITS,
    names: Mapping[str, Sequence[str]] | None = None,
) -> tuple[LiteralString, dict[str, Any]]:
    """The statement and its parameters, as build_list returns them, for a query with `q`, without `as_of`.
    With `names`, as find_names returns them, words also match names."""
    is_guest = caller.role == "guest"
    search = parse_search(query.q or "", weight=PUBLIC if is_guest else "", names=names)
    if not search.has_words:
        raise Invalid({"q": [NO_WORDS]})
    filters = filters_of(caller, query)
    filtered = tuple(filters)
    if query.priority:
        filters["priority"] = [PRIORITY_RANK[priority] for priority in filters["priority"]]
    parameters = {
        **filters,
        "q": search.whole,
        "indexed": _indexed(search.whole, filters),
        "required": search.required,
        "excluded": search.excluded,
        "all_required": search.all_required,
        "any_required": search.any_required,
        "visibilities": ["public"] if is_guest else ["public", "internal"],
        "weights": list("bd" if is_guest else "abd"),
        "limit": query.limit + 1,  # the last one shows whether there is a next page
        "offset": query.offset,
        **included_parameters(query.include),
        "number": ticket_number(query.q or ""),
    }
    if query.after and query.sort == "relevance":
        value, parameters["after_id"] = query.after
        parameters |= dict(zip(_CURSOR, str(value).split("|"), strict=True))
    elif query.after:
        parameters["after_value"], parameters["after_id"] = query.after
    shape = _Shape(
        names=filtered,
        sort=query.sort,
        order=query.order,
        is_after=query.after is not None,
        has_total=query.count,
        is_guest=is_guest,
        has_number=parameters["number"] is not None,
        has_names=names is not None,
        shown=shown_columns(caller, query),
    )
    return _statement(shape, limits), parameters


def _indexed(query: str, filters: dict[str, Any]) -> str:
    """The query for the index of words, which also has the properties, categories and tags of tickets."""
    conditions = [query]
    for name, sign in _IN_TERMS.items():
        if name in filters:
            given = filters[name]
            values = [given] if isinstance(given, str) else given
            conditions.append(any_of([quote_any(sign + value) for value in values or [""]]))
    return all_of(conditions)


class _Shape(NamedTuple):
    """What the text of the statement depends on."""

    names: tuple[str, ...]
    sort: Sort
    order: Order
    is_after: bool
    has_total: bool
    is_guest: bool
    has_number: bool
    has_names: bool
    shown: LiteralString


@lru_cache(maxsize=512)
def _statement(shape: _Shape, limits: Limits) -> LiteralString:
    if shape.sort != "relevance":
        parts = _parts(shape, limits)
        after = f"AND {AFTER[shape.sort, shape.order]}" if shape.is_after else ""
        return _compose("show_page", parts, limit=_LIMIT, offset=_OFFSET, after=after)
    newest = shape._replace(sort="created_at", order="desc")
    is_older_needed = f"(SELECT count(*) FROM scored t WHERE true {{after_score}}) < {_LIMIT} + {_OFFSET}"
    return _compose(
        "show_by_relevance",
        _parts(newest, limits._replace(walked=2 * limits.ranked, compared=limits.compared_for_ranks)),
        # Changes since then may have added matches between the ends that a cursor contains.
        limit=str(2 * limits.ranked if shape.is_after else limits.ranked),
        offset="0",
        after=_sql["between_ends"] if shape.is_after else "",
        ends=_sql["ends_of_cursor" if shape.is_after else "ends_of_page"],
        score=_sql["score_with_number" if shape.has_number else "score"],
        score_of_words=_sql["score"],
        after_score=_AFTER_SCORE[shape.order] if shape.is_after else "",
        order_by_score=_ORDER_BY_SCORE[shape.order],
        is_older_needed=is_older_needed if shape.order == "desc" else "true",
    )


def _parts(shape: _Shape, limits: Limits) -> dict[str, LiteralString]:
    """The fragments of the statement that do not depend on the page. The tickets of guests are always
    compared one by one: they are few, and the index of words does not know which words are public."""
    names, key = shape.names, SORT_COLUMNS[shape.sort][0]
    anchor = next((name for name in _ANCHORS if name in names), None)
    near = f"(SELECT count(*) <= {limits.near} FROM near)" if anchor else "false"
    # Matches in a property or in the reach of a caller are few enough to be found once and kept.
    is_narrow = any(name in names for name in ("reach", "property_id", "property_id_any"))
    has_key = shape.sort != "updated_at" or bool(_of_tickets(names))
    extreme, first, operator = ("max", "greatest", "<=") if shape.order == "desc" else ("min", "least", ">=")
    return {
        "columns": columns_of(TicketRow, "t").as_string(None),
        "names": shape.shown,
        "key": key,
        "order": ORDER[shape.sort, shape.order],
        "filters": _all(names),
        "parts": _sql["parts_and_number" if shape.has_number else "parts"],
        "parts_with_words": _sql["parts"],
        "of_parts": _sql["parts_with_names" if shape.has_names else "parts_with_text"],
        "parts_with_text": _sql["parts_with_text"],
        "terms": _TERMS["terms_of_tickets"],
        "matches": _sql["matches_with_number" if shape.has_number else "matches"],
        "anchor": _FILTERS[anchor] if anchor else "false",
        "at_most": "" if shape.is_guest else f"LIMIT {limits.near + 1}",
        "is_near": "true" if shape.is_guest else near,
        "documents": _sql["documents_with_tickets" if _of_tickets(names) else "documents"],
        "document_filters": _all(name for name in names if name in _OF_DOCUMENTS),
        "ticket_filters": _all(_of_tickets(names)),
        "materialized": "MATERIALIZED" if is_narrow else "NOT MATERIALIZED",
        "matched": "matched" if has_key else _sql["matched_with_changes"],
        "total": _sql["count_found" if shape.has_total else "count_nothing"],
        "extreme": extreme,
        "first": first,
        "counted": key if has_key else "created_at",
        "start": f"AND t.{key} {operator} (SELECT start FROM total)" if shape.has_total and has_key else "",
        "frequent": str(limits.frequent),
        "most_read": str(limits.read),
        "most_compared": str(limits.compared),
        "most_walked": str(limits.walked),
    }


def _compose(name: str, parts: dict[str, LiteralString], **others: LiteralString) -> LiteralString:
    """The statement of that name. Replaces the places for fragments, also those within fragments."""
    given = {**parts, **others, "page": _sql["find_page"]}
    text = _sql[name]
    while found := set(_PLACE.findall(text)):
        for place in found:
            text = text.replace(f"{{{place}}}", given[place])
    return text


def _of_tickets(names: Iterable[str]) -> list[str]:
    """The filters that need the ticket."""
    return [name for name in names if name not in _OF_DOCUMENTS and name not in _IN_TERMS]


def _all(names: Iterable[str]) -> LiteralString:
    return " AND ".join(["NOT t.is_deleted", *(_FILTERS[name] for name in names)])
