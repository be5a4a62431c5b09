"""The statement that selects a page of tickets as they were at an earlier time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString, NamedTuple

from psycopg import sql

from domain.ticket import PRIORITIES
from infrastructure.storage.postgres import named_queries
from projections.project_past_tickets import LONGEST_BITS
from projections.rows import PastTicketRow, TicketRow, columns, columns_of, shared_fields
from projections.ticket_filters import SORT_COLUMNS, Order, Sort

FEW = 10_000  # at most so many matches are gathered and sorted; a walk finds the page of more
_sql = named_queries(Path(__file__).parent / "sql" / "past_tickets.sql")
# For a list as of an earlier time, unless the caller is an auditor.
NOT_DELETED_SINCE = _sql["not_deleted_since"]

# The second condition follows from the third; it is there for an index on created_at.
_RESTING: tuple[LiteralString, ...] = (
    "NOT t.is_deleted",
    "t.created_at <= %(as_of)s",
    "t.updated_at <= %(as_of)s",
)
# The part of the index of the order that can contain tickets of the time.
_BOUNDS: dict[Sort, LiteralString] = {
    "created_at": "t.created_at <= %(as_of)s",
    "updated_at": "t.updated_at <= %(as_of)s",
    "priority": "true",
}
_STATE = shared_fields(TicketRow, PastTicketRow)
_PRIORITY = sql.SQL("(ARRAY[{}])[p.priority_rank] AS priority").format(
    sql.SQL(", ").join(map(sql.Literal, PRIORITIES))
)
_STATE_OF_PAST = sql.SQL(", ").join([columns(_STATE, "p"), _PRIORITY])
_STATE_OF_PRESENT = columns((*_STATE, "priority"), "n")


class Shape(NamedTuple):
    """What the statement depends on, apart from its filters. More than `few` tickets that have not changed
    since the time are found in the order of the list."""

    sort: Sort
    order: Order
    has_cursor: bool
    has_total: bool
    few: int = FEW


def compose_list_as_of(
    shape: Shape,
    filters: Sequence[LiteralString],
    *,
    shown: LiteralString,
    kept: bool,
    by_requester: bool,
    found: sql.Composable,
) -> LiteralString:
    """The statement as text.

    `shown` are the expressions for the names of a row. `kept`: tickets that are deleted now are left
    out. `by_requester`: one of the filters is by requester. `found` are the common table expressions that
    the filters use.
    """
    key = sql.Identifier("t", SORT_COLUMNS[shape.sort][0])
    parts = {"state_p": _STATE_OF_PAST, "longest_bits": sql.Literal(LONGEST_BITS)}
    source = _sql["in_force_by_requester" if by_requester else "in_force"]
    of_replaced = ("NOT t.is_deleted", *filters, *([NOT_DELETED_SINCE] if kept else []))
    composed = sql.SQL(_sql["list_tickets_as_of"]).format(
        found=found,
        key=key,
        replaced=sql.SQL(source).format(**parts),
        replaced_filters=_all(of_replaced),
        filters=_all((*_RESTING, *filters)),
        few=sql.Literal(shape.few),
        counted_limit=sql.SQL("") if shape.has_total else sql.SQL("LIMIT {}").format(shape.few + 1),
        after=_after(shape, key),
        after_key=_after(shape, sql.SQL("t.key")),
        bound=sql.SQL(_BOUNDS[shape.sort]),
        order=sql.SQL("ASC" if shape.order == "asc" else "DESC"),
        total=sql.SQL(_sql["total_as_of"] if shape.has_total else "NULL::bigint"),
        columns=columns_of(TicketRow, "t"),
        names=sql.SQL(shown),
        state_n=_STATE_OF_PRESENT,
        **parts,
    )
    return composed.as_string(None)


def _all(conditions: Sequence[LiteralString]) -> sql.Composed:
    return sql.SQL(" AND ").join(map(sql.SQL, conditions))


def _after(shape: Shape, key: sql.Composable) -> sql.Composable:
    """The condition for rows after the one whose key the cursor has; empty without a cursor."""
    if not shape.has_cursor:
        return sql.SQL("")
    return sql.SQL("AND ({key}, t.id) {sign} (%(after_value)s::{type}, %(after_id)s)").format(
        key=key,
        sign=sql.SQL(">" if shape.order == "asc" else "<"),
        type=sql.SQL(SORT_COLUMNS[shape.sort][1]),
    )
