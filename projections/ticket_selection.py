"""The filters of a list of present tickets, as keys of an index and as tests of each ticket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, LiteralString, NamedTuple

from domain.access import Caller
from domain.ticket import STATUSES
from projections.project_counts import ALL, NOBODY, PAIRS, TAGGED
from projections.project_past_tickets import PRIORITY_RANK
from projections.ticket_filters import FILTERS, INACTIVE, TicketQuery, any_of, filters_of

FEW_PROPERTIES = 3  # more properties probably have more tickets than there are unassigned ones
MAX_STREAMS = 400  # the beginning of each is read, which takes some microseconds
_TIMES = ("created_after", "created_before", "updated_after", "updated_before")

# The columns that an index begins with, before the order.
Kind = Literal[
    "ticket",
    "unit",
    "requester",
    "assignee",
    "tag",
    "unassigned",
    "assignments",
    "property",
    "status",
    "priority",
]


class Key(NamedTuple):
    """How an index is searched: `rows` is the FROM item with its keys, `conditions` find the tickets of a
    key, and `covers` has the tests that need not be repeated then. `alone` is the condition for a single key,
    if the index has all its tickets in the order of the list within each status. With `hides_tests` the
    planner does not see the other tests, for which it would use another index."""

    rows: LiteralString
    conditions: tuple[LiteralString, ...]
    covers: frozenset[str]
    alone: LiteralString | None = None
    hides_tests: bool = False


_STATUS: LiteralString = "unnest(%(statuses)s::text[]) AS b (status)"
_ONE: LiteralString = "(VALUES (1)) k (one)"


def _entity(column: LiteralString, name: LiteralString) -> Key:
    return Key(
        rows=f"unnest(%({name})s::text[]) AS k (id) CROSS JOIN {_STATUS}",
        conditions=(f"t.{column} = k.id AND t.status = b.status",),
        covers=frozenset((name, "statuses")),
        alone=f"t.{column} = (%({name})s::text[])[1]",
    )


KEYS: dict[Kind, Key] = {
    "ticket": Key(_ONE, (FILTERS["external_id"],), frozenset(["external_id"]), hides_tests=True),
    "unit": Key("unnest(%(units)s::text[]) AS k (id)", ("t.unit_id = k.id",), frozenset(["units"])),
    "requester": _entity("requester_id", "requesters"),
    "assignee": _entity("assignee_id", "assignees"),
    "tag": Key(_ONE, (FILTERS["tag"],), frozenset(["tag"]), hides_tests=True),
    "unassigned": Key(
        _STATUS,
        ("t.assignee_id IS NULL AND t.status = b.status",),
        frozenset(("unassigned", "statuses")),
        "t.assignee_id IS NULL",
    ),
    "assignments": Key(
        f"(SELECT DISTINCT assignee_id AS id FROM assignments) k CROSS JOIN {_STATUS}",
        (
            "t.assignee_id = k.id AND t.status = b.status",
            "k.id IS NULL AND t.assignee_id IS NULL AND t.status = b.status",
        ),
        frozenset(["statuses"]),
    ),
    "property": _entity("property_id", "properties"),
    "status": Key(_STATUS, ("t.status = b.status",), frozenset(["statuses"]), "true"),
    "priority": Key(
        "unnest(%(ranks)s::smallint[]) AS k (rank)", ("t.priority_rank = k.rank",), frozenset(["ranks"])
    ),
}
_OF_ASSIGNEE = ("assignee_id", "property_id", "status")
_PARTS: dict[str, tuple[LiteralString, tuple[LiteralString, ...]]] = {
    "properties": ("t.property_id = ANY(%(properties)s)", ("property_id",)),
    "requesters": ("t.requester_id = ANY(%(requesters)s)", ("requester_id",)),
    "units": ("t.unit_id = ANY(%(units)s)", ("unit_id",)),
    "assignees": ("t.assignee_id = ANY(%(assignees)s)", ("assignee_id",)),
    "statuses": ("t.status = ANY(%(statuses)s)", ("status",)),
    "ranks": ("t.priority_rank = ANY(%(ranks)s::smallint[])", ("priority_rank",)),
    "category": (FILTERS["category"], ("category",)),
    "tag": (FILTERS["tag"], ("tags",)),
    "external_id": (FILTERS["external_id"], ("id",)),
    "unassigned": (FILTERS["unassigned"], ("assignee_id",)),
    "inactive": (FILTERS["inactive"], _OF_ASSIGNEE),
    "inactive_not_closed": (FILTERS["inactive_not_closed"], _OF_ASSIGNEE),
    "mixed": (FILTERS["mixed"], _OF_ASSIGNEE),
    "mixed_not_closed": (FILTERS["mixed_not_closed"], _OF_ASSIGNEE),
    "created_after": (FILTERS["created_after"], ("created_at",)),
    "created_before": (FILTERS["created_before"], ("created_at",)),
    "updated_after": (FILTERS["updated_after"], ("updated_at",)),
    "updated_before": (FILTERS["updated_before"], ("updated_at",)),
}
# The condition of each filter, and the columns that it needs.
TESTS: dict[str, LiteralString] = {name: condition for name, (condition, _) in _PARTS.items()}
COLUMNS: dict[str, tuple[LiteralString, ...]] = {name: needed for name, (_, needed) in _PARTS.items()}
# The tests that count by assignments: pairs of a property and an assignee with tickets there. ASSIGNMENTS has
# the condition for the pairs that a test finds, NAMED for those whose assignee it names; their closed tickets
# are never left out.
ASSIGNMENTS: dict[str, LiteralString] = {
    "inactive": INACTIVE,
    "inactive_not_closed": INACTIVE,
    "mixed": any_of("mixed", INACTIVE),
    "mixed_not_closed": any_of("mixed_not_closed", INACTIVE),
}
NAMED: dict[str, LiteralString] = {
    "inactive": "false",
    "inactive_not_closed": "false",
    "mixed": any_of("mixed", "false"),
    "mixed_not_closed": any_of("mixed_not_closed", "false"),
}


_FILTER_OF: dict[Kind, str] = {
    "unit": "units",
    "requester": "requesters",
    "assignee": "assignees",
    "property": "properties",
}


class Selection(NamedTuple):
    """The filters of a list: their parameters, each under the name of its test."""

    tests: dict[str, Any]
    statuses: list[str]

    @property
    def kind(self) -> Kind:
        """The index that finds the fewest tickets, as far as the filters tell."""
        tests = self.tests
        if "external_id" in tests:
            return "ticket"
        if "units" in tests:
            return "unit"
        if "requesters" in tests:
            return "requester"
        if "assignees" in tests:
            return "assignee"
        if "tag" in tests:
            return "tag"
        if "unassigned" in tests and ("properties" not in tests or len(tests["properties"]) > FEW_PROPERTIES):
            return "unassigned"
        if self.assignments:
            return "assignments"
        if "properties" in tests:
            return "property"
        return "status"

    @property
    def assignments(self) -> str:
        """The name of the test in ASSIGNMENTS; "" if there is none."""
        return next((name for name in self.tests if name in ASSIGNMENTS), "")

    @property
    def keys(self) -> int | None:
        """The number of keys of `kind`; None if only the database can tell."""
        if self.kind == "assignments":
            return None
        name = _FILTER_OF.get(self.kind)
        return len(self.tests[name]) if name else 1

    @property
    def is_counted(self) -> bool:
        """Whether the rows of `ticket_counts` contain the total."""
        by_assignee = self.assignments or {"assignees", "unassigned"} & self.tests.keys()
        if {"external_id", "units", "requesters", *_TIMES} & self.tests.keys():
            return False
        groups = ("category" in self.tests) + ("tag" in self.tests) + bool(by_assignee)
        return groups <= 1 and len(self.tests.get("tag", ())) <= 1  # a ticket may have several of the tags

    def counted(self) -> dict[str, Any]:
        """The parameters of the sum of counts."""
        tests = self.tests
        tags = [TAGGED + tag for tag in tests.get("tag", ())]
        ranks = tests.get("ranks", list(PRIORITY_RANK.values()))
        pairs = [
            number
            for (status, priority), number in PAIRS.items()
            if status in self.statuses and PRIORITY_RANK[priority] in ranks
        ]
        if self.assignments:
            without = {"closed"} if "not_closed" in self.assignments else set()
            of_inactive = [number for (status, _), number in PAIRS.items() if status not in without]
            return {"pairs": pairs, "pairs_of_inactive": of_inactive, "counted_tags": tags}
        return {
            "pairs": pairs,
            "counted_tags": tags,
            "counted_properties": tests.get("properties", [ALL]),
            "counted_assignees": [NOBODY] if "unassigned" in tests else tests.get("assignees", [ALL]),
            "counted_categories": tags or tests.get("category", [ALL]),
        }


def select(caller: Caller, query: TicketQuery) -> Selection:
    """The filters of the query, within the reach of the caller."""
    given = filters_of(caller, query)
    tests: dict[str, Any] = {}
    for name, sources in {
        "properties": ("reach", "property_id", "property_id_any"),
        "requesters": ("requester", "requester_id", "requester_id_any"),
        "units": ("unit_id", "unit_id_any"),
        "assignees": ("assigned_to", "assigned_to_any"),
    }.items():
        if (ids := _common_ids(given[source] for source in sources if source in given)) is not None:
            tests[name] = ids
    if "priority" in given:
        tests["ranks"] = sorted({PRIORITY_RANK[priority] for priority in given["priority"]})
    if "status" in given:
        tests["statuses"] = _in_order(given["status"])
    elif "inactive_not_closed" in given:
        tests["statuses"] = [status for status in STATUSES if status != "closed"]
    tests |= {name: value for name, value in given.items() if name in TESTS and name not in tests}
    return Selection(tests, tests.get("statuses", list(STATUSES)))


def _common_ids(filters: Iterable[str | list[str]]) -> list[str] | None:
    """The ids that all filters contain, each once; None without a filter."""
    sets = [{ids} if isinstance(ids, str) else set(ids) for ids in filters]
    return sorted(set.intersection(*sets)) if sets else None


def _in_order(statuses: Iterable[str]) -> list[str]:
    return [status for status in STATUSES if status in set(statuses)]
