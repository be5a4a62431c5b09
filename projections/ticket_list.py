"""Composes the statement for a list of present tickets without a search: the indexes for page and total.

One of three drivers finds the ids of the page:

* `ordered`: an index that begins with the filters contains them in the order of the list.
* `streams`: the same for several keys, such as properties; their beginnings are merged.
* `walk`: no index has both. The index of the order is walked, up to a limit. If that does not find the page,
  or if the tickets are few, all tickets are gathered by an index of the filters and sorted.

The choice depends on the filters, the exact total and the walk, never on estimates of the planner
(docs/decisions/0025-lists.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, LiteralString, NamedTuple, cast

from psycopg import sql

from domain.access import Caller
from domain.ticket import STATUSES
from infrastructure.storage.postgres import named_queries
from projections.included import included_parameters
from projections.rows import TicketRow, columns_of, compose
from projections.ticket_filters import (
    AFTER,
    ORDER,
    SORT_COLUMNS,
    Order,
    Sort,
    TicketQuery,
    shown_columns,
)
from projections.ticket_selection import (
    ASSIGNMENTS,
    COLUMNS,
    KEYS,
    MAX_STREAMS,
    NAMED,
    TESTS,
    Key,
    Kind,
    Selection,
    select,
)

DEEP = 1_000  # rows before a page that is read from the nearer end of the list
FEW = 2_000  # tickets that are gathered and sorted faster than a walk finds the page
FEW_FOR_DEEP = 20_000  # the same for a deep page
PROBE_FOR_DEEP = 50_000  # the same as PROBE_BY_ID for a deep page of a tag, which may have very many tickets
PROBE = 10_000  # entries of an index that a walk reads before all tickets are gathered
PROBE_BY_ID = 5_000  # the same for a walk that looks up each ticket
EVERYTHING = 2**62
# The columns of the index of each order (sql/readers.sql); that of `created_at` begins with the status.
_IN_INDEX: dict[Sort, set[str]] = {
    "created_at": {
        *("status", "created_at", "priority_rank", "category", "property_id", "assignee_id", "updated_at")
    },
    "updated_at": {"updated_at", "status"},
    "priority": {"priority_rank", "updated_at", "status"},
}
_REVERSED: dict[Order, Order] = {"asc": "desc", "desc": "asc"}
_sql = named_queries(Path(__file__).parent / "sql" / "ticket_list.sql")


class _Shape(NamedTuple):
    """All that the text of the statement depends on."""

    driver: Literal["ordered", "streams", "walk"]
    kind: Kind
    tests: tuple[str, ...]
    statuses: int  # the number of statuses in the filter; 0 without one
    total: Literal["counts", "assignments", "key"]
    sort: Sort
    order: Order
    after: bool
    counted: bool
    deep: bool
    shown: LiteralString


def build_present_list(caller: Caller, query: TicketQuery) -> tuple[LiteralString, dict[str, Any]]:
    """The statement and its parameters, for a query without `q` and `as_of`."""
    selection = select(caller, query)
    kind, driver = _choose(selection, query.sort)
    deep = query.count and query.offset >= DEEP
    shape = _Shape(
        driver=driver,
        kind=kind,
        tests=tuple(selection.tests),
        statuses=len(selection.tests.get("statuses", ())),
        total="key" if not selection.is_counted else "assignments" if selection.assignments else "counts",
        sort=query.sort,
        order=query.order,
        after=query.after is not None,
        counted=query.count,
        deep=deep,
        shown=shown_columns(caller, query),
    )
    parameters: dict[str, Any] = {**selection.tests, "statuses": selection.statuses, **selection.counted()}
    if query.after:
        parameters["after_value"], parameters["after_id"] = query.after
    parameters |= {
        "limit": query.limit + 1,
        "offset": query.offset,
        **_limits_of_walk(shape),
        **included_parameters(query.include),
    }
    return _compose(shape), parameters


def _limits_of_walk(shape: _Shape) -> dict[str, int]:
    """How many tickets are gathered rather than walked to, and how far the walk goes."""
    if shape.kind == "tag" and shape.deep:
        return {"few": FEW_FOR_DEEP, "probe": PROBE_FOR_DEEP}
    if not _is_covered(shape):
        return {"few": EVERYTHING if shape.deep else FEW, "probe": PROBE_BY_ID}
    is_best = shape.deep or shape.kind == "priority"  # gathering many would read the table
    return {"few": FEW_FOR_DEEP if shape.deep else FEW, "probe": EVERYTHING if is_best else PROBE}


def _choose(selection: Selection, sort: Sort) -> tuple[Kind, Literal["ordered", "streams", "walk"]]:
    """The index of the filters, and the driver."""
    kind, keys, tests = selection.kind, selection.keys, selection.tests.keys()
    if kind == "status":
        if sort == "created_at":
            return ("priority", "walk") if tests == {"ranks"} else (kind, "ordered")
        in_index = {"updated_after", "updated_before"} | ({"ranks"} if sort == "priority" else set())
        return kind, "ordered" if tests <= in_index else "walk"
    if sort != "created_at" or kind in ("ticket", "unit", "tag"):
        return kind, "walk"
    if keys == 1:
        return kind, "ordered"
    return kind, "streams" if keys is None or keys * len(selection.statuses) <= MAX_STREAMS else "walk"


@lru_cache(maxsize=1024)
def _compose(shape: _Shape) -> LiteralString:
    """The statement as text: psycopg renders a Composed at every call."""
    steps = []
    if shape.kind == "assignments":
        steps.append(_assignments(shape))
    if shape.kind == "tag" and "properties" in shape.tests:
        steps.append(_sql["rarer"])
    if shape.counted or shape.driver == "walk":
        steps.append(_fill("total", total=_total(shape)))
    if shape.deep:
        steps.append(_fill("span"))
    steps += _walk(shape) if shape.driver == "walk" else [f"page AS ({_both_ends(shape)})"]
    return _fill(
        "list_tickets",
        steps=", ".join(steps),
        shown_total="(SELECT n FROM total)" if shape.counted else "NULL::bigint",
        columns=columns_of(TicketRow, "t"),
        names=shape.shown,
        order=ORDER[shape.sort, shape.order],
    )


def _total(shape: _Shape) -> LiteralString:
    if shape.total == "counts":
        return _fill("sum_counts")
    if shape.total == "assignments":
        return _fill("sum_assignments")
    if shape.kind == "status" and {"updated_after", "updated_before"} & set(shape.tests):
        return _fill("count_scan", filters=_conditions(_tests(shape)))
    return _fill("count_by_key", keys=_key(shape).rows, scans=_scans_of_keys(shape, "count_scan"))


def _walk(shape: _Shape) -> list[LiteralString]:
    """The steps of the driver `walk`."""
    return [
        f"walked AS MATERIALIZED ({_both_ends(shape)})",
        _fill("choice"),
        f"page AS (SELECT id FROM walked WHERE NOT (SELECT gather FROM choice) UNION ALL {_gathered(shape)})",
    ]


def _gathered(shape: _Shape) -> LiteralString:
    return _fill(
        "gathered",
        keys=_key(shape).rows,
        scans=_scans_of_keys(shape, "scan", wanted=_columns([_sort_column(shape)])),
        gate="(SELECT gather FROM choice)",
        order=ORDER[shape.sort, shape.order],
        limit="%(limit)s",
        offset="%(offset)s",
    )


def _both_ends(shape: _Shape) -> LiteralString:
    """The ids of the page; for a deep page by a walk from the nearer end."""
    if not shape.deep:
        return _page(shape, shape.order, gate="true", limit="%(limit)s", offset="%(offset)s")
    take, skip = "(SELECT take FROM span)", "(SELECT skip FROM span)"
    start = _page(shape, shape.order, gate="(SELECT NOT from_end FROM span)", limit=take, offset=skip)
    end = _page(shape, _REVERSED[shape.order], gate="(SELECT from_end FROM span)", limit=take, offset=skip)
    return f"{start} UNION ALL {end}"


def _page(shape: _Shape, order: Order, *, gate: LiteralString, **limits: LiteralString) -> LiteralString:
    limits["order"] = ORDER[shape.sort, order]
    sort = _columns([_sort_column(shape)])
    if shape.driver == "streams":
        scans = _scans_of_keys(shape, "first_of_scan", wanted=sort, **limits)
        return _fill("streams", keys=_key(shape).rows, scans=scans, gate=gate, **limits)
    if shape.driver == "ordered":
        tests = _tests(shape, but=_key(shape).covers)
        scans = _scans_in_order(shape, tests, wanted=sort, **limits)
        return _fill("ordered", scans=scans, gate=gate, **limits)
    template, wanted = ("walked", _columns(_needed(shape))) if _is_covered(shape) else ("walked_by_id", sort)
    scans = _scans_in_order(shape, (), wanted=wanted, limit="%(probe)s", offset="0", order=limits["order"])
    return _fill(template, scans=scans, filters=_conditions(_tests(shape)), gate=gate, **limits)


def _scans_in_order(shape: _Shape, tests: Sequence[LiteralString], **parts: LiteralString) -> LiteralString:
    """One scan of the index of the order, or one for each status, if the index begins with the status."""
    prefix = _key(shape).alone if shape.driver == "ordered" else None
    by_status = shape.sort == "created_at" and bool(shape.tests)
    return " UNION ALL ".join(
        _fill(
            "first_of_scan",
            filters=_conditions([*prefixes, *tests, *_after(shape)]),
            **_with_nulls(parts, prefix or "true"),
        )
        for prefixes in (_statuses(shape, prefix or "true") if by_status else [["true"]])
    )


def _statuses(shape: _Shape, prefix: LiteralString) -> list[list[LiteralString]]:
    if shape.statuses == 1:
        return [[prefix, "t.status = (%(statuses)s::text[])[1]"]]
    literals = cast(list[LiteralString], [sql.Literal(status).as_string(None) for status in STATUSES])
    if not shape.statuses:
        return [[prefix, f"t.status = {status}"] for status in literals]
    return [[prefix, f"t.status = {status}", f"{status} = ANY(%(statuses)s)"] for status in literals]


def _scans_of_keys(shape: _Shape, template: LiteralString, **parts: LiteralString) -> LiteralString:
    """The scan for a key; for `assignments` a second one for tickets without an assignee."""
    key = _key(shape)
    after = [] if template == "count_scan" else _after(shape)
    if shape.kind == "tag" and "properties" in shape.tests:
        by_tag = ["(SELECT is_tag FROM rarer)", TESTS["tag"], *_hidden([*_tests(shape, but=["tag"]), *after])]
        others = _tests(shape, but=["properties"])
        by_property = ["NOT (SELECT is_tag FROM rarer)", TESTS["properties"], *_hidden([*others, *after])]
        scans = [_fill(template, filters=_conditions(each), **parts) for each in (by_tag, by_property)]
        return " UNION ALL ".join(scans)
    tests = [*_tests(shape, but=key.covers), *after]
    if key.hides_tests:
        tests = _hidden(tests)
    return " UNION ALL ".join(
        _fill(template, filters=_conditions([condition, *tests]), **_with_nulls(parts, condition))
        for condition in key.conditions
    )


def _hidden(tests: Sequence[LiteralString]) -> list[LiteralString]:
    """The tests as one that the planner does not look into."""
    return [f"CASE WHEN {' AND '.join(tests)} THEN true ELSE false END"] if tests else []


def _with_nulls(parts: dict[str, LiteralString], condition: LiteralString) -> dict[str, LiteralString]:
    """The parts of a scan. The planner does not know that all tickets without an assignee have the same one,
    so that the index is in the order of the list."""
    if "order" not in parts or "t.assignee_id IS NULL" not in condition:
        return parts
    assignee: LiteralString = "t.assignee_id DESC" if "DESC" in parts["order"] else "t.assignee_id"
    return parts | {"order": f"{assignee}, {parts['order']}"}


def _key(shape: _Shape) -> Key:
    return KEYS[shape.kind]


def _tests(shape: _Shape, but: Collection[str] = ()) -> list[LiteralString]:
    return [TESTS[name] for name in shape.tests if name not in but]


def _conditions(conditions: Iterable[LiteralString]) -> LiteralString:
    return " ".join(f"AND {condition}" for condition in conditions if condition != "true")


def _after(shape: _Shape) -> list[LiteralString]:
    return [AFTER[shape.sort, shape.order]] if shape.after else []


def _columns(names: Iterable[LiteralString]) -> LiteralString:
    return ", ".join(f"t.{name}" for name in dict.fromkeys(["id", *names]))


def _sort_column(shape: _Shape) -> LiteralString:
    return SORT_COLUMNS[shape.sort][0]


def _needed(shape: _Shape) -> list[LiteralString]:
    """The columns of the order and of all filters."""
    return [_sort_column(shape), *(column for name in shape.tests for column in COLUMNS[name])]


def _is_covered(shape: _Shape) -> bool:
    """Whether the index of the order has the columns of all filters."""
    return _IN_INDEX[shape.sort] >= set(_needed(shape))


def _assignments(shape: _Shape) -> LiteralString:
    """The step `assignments`, for a filter by inactive assignees or by several items."""
    (name,) = (name for name in shape.tests if name in ASSIGNMENTS)
    within = [TESTS["properties"]] if "properties" in shape.tests else []
    return _fill("assignments", named=NAMED[name], matching=_conditions([ASSIGNMENTS[name], *within]))


def _fill(name: str, **parts: LiteralString | sql.Composable) -> LiteralString:
    texts = {key: sql.SQL(part) if isinstance(part, str) else part for key, part in parts.items()}
    return compose(_sql[name], **texts)
