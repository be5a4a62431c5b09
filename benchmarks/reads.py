"""The reads of `make bench ARGS=growth`, for each role, and their targets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from benchmarks.bench import issue_key
from benchmarks.http_client import HttpClient, UnexpectedAnswer
from infrastructure.storage.postgres import connect

PER_PAGE = 10
DEEP_PAGE = 10_000
MANAGED, STAFFED = 40, 3  # properties of the manager and of the member of the staff
MOST_GROWTH = 1.5
MOST_OF_FIRST_PAGE = 5.0  # for deep pages
FIRST_PAGE = "list"
ROLES = ("admin", "manager", "staff", "guest")
_GUEST = """
SELECT u.id, cardinality(u.property_ids) FROM read.users u
JOIN read.tickets t ON t.requester_id = u.id AND NOT t.is_deleted
WHERE u.role = %(role)s AND u.is_active
GROUP BY u.id ORDER BY count(*) DESC, u.id LIMIT 1
"""
_EMPLOYEE = """
WITH counts AS (SELECT property_id, count(*) AS tickets FROM read.tickets WHERE NOT is_deleted GROUP BY 1)
SELECT u.id, cardinality(u.property_ids)
FROM read.users u CROSS JOIN unnest(u.property_ids) AS p (id) LEFT JOIN counts c ON c.property_id = p.id
WHERE u.role = %(role)s AND u.is_active
GROUP BY u.id
ORDER BY abs(cardinality(u.property_ids) - %(properties)s), coalesce(sum(c.tickets), 0) DESC, u.id LIMIT 1
"""


class Target(msgspec.Struct, frozen=True):
    """At the largest size: at most this growth since the smallest, at most these milliseconds, or at most
    this multiple of the first page at the same size."""

    growth: float | None = None
    ms: float | None = None
    of_first_page: float | None = None

    def describe(self) -> str:
        if self.growth is not None:
            return f"{self.growth:g}x"
        return f"{self.ms:g} ms" if self.ms is not None else f"{self.of_first_page:g}x of page 1"


class Read(msgspec.Struct, frozen=True):
    """`path` is None for a role that may not do this read."""

    name: str
    path: str | None


class Reader(msgspec.Struct, frozen=True):
    """A caller: a role, its key, and how many properties it has."""

    role: str
    key: str
    properties: int


GROWTH, DEEP = Target(growth=MOST_GROWTH), Target(of_first_page=MOST_OF_FIRST_PAGE)
TARGETS = {
    FIRST_PAGE: GROWTH,
    "status=open": GROWTH,
    "status=closed": GROWTH,
    "priority=high,critical": GROWTH,
    "property": GROWTH,
    "property and open": GROWTH,
    "assigned": GROWTH,
    "sort=priority and open": GROWTH,
    f"page {DEEP_PAGE:,} or last": DEEP,
    "last page": DEEP,
    "q=leak with total": Target(ms=60.0),
    "q=leak with cursor": Target(ms=20.0),
    "q=water, sort=priority": Target(ms=60.0),
    "q=two words": Target(ms=40.0),
    "as of half a year ago": Target(ms=100.0),
    "one ticket": GROWTH,
    "cursor list": GROWTH,
    "history": GROWTH,
    "events": GROWTH,
    "properties": GROWTH,
    "users": GROWTH,
}


def find_readers(dsn: str) -> list[Reader]:
    """An admin, a manager, a member of the staff and a guest, each with a new key. The manager and the member
    of the staff have about MANAGED and STAFFED properties; of several, the one who sees most tickets."""
    readers = [Reader("admin", issue_key(dsn, "admin"), 0)]
    for role, (user_id, properties) in find_people(dsn).items():
        readers.append(Reader(role, issue_key(dsn, role, user_id), properties))
    return readers


def find_people(dsn: str) -> dict[str, tuple[str, int]]:
    """The ids of the manager, the member of the staff and the guest of find_readers, each with the number of
    their properties."""
    people = {}
    for role, properties in (("manager", MANAGED), ("staff", STAFFED), ("guest", 1)):
        with connect(dsn, application="benchmarks", limit_seconds=600) as conn:
            statement = _GUEST if role == "guest" else _EMPLOYEE
            found = conn.execute(statement, {"role": role, "properties": properties}).fetchone()
        if found is None:
            raise SystemExit(f"The data has no {role}.")
        people[role] = found[0], found[1]
    return people


def find_reads(client: HttpClient) -> list[Read]:
    """The reads of the caller of this client, about a ticket, property and assignee that the caller sees."""
    listed = _get(client, _list())
    first, pages = listed["data"][0], listed["meta"]["pagination"]["total_pages"]
    assignee = next((one["assigned_to"]["id"] for one in listed["data"] if one.get("assigned_to")), None)
    property_id, ticket = first["property"]["id"], f"/v1/tickets/{first['id']}"
    half_a_year_ago = (datetime.now(UTC) - timedelta(days=182)).strftime("%Y-%m-%dT00:00:00Z")
    reads = [
        Read(FIRST_PAGE, _list()),
        Read("status=open", _list(status="open")),
        Read("status=closed", _list(status="closed")),
        Read("priority=high,critical", _list(priority="high,critical")),
        Read("property", _list(property_id=property_id)),
        Read("property and open", _list(property_id=property_id, status="open")),
        Read("assigned", _list(assigned_to=assignee) if assignee else None),
        Read("sort=priority and open", _list(sort="priority", status="open")),
        Read(f"page {DEEP_PAGE:,} or last", _list(page=min(DEEP_PAGE, pages))),
        Read("last page", _list(page=pages)),
        Read("q=leak with total", _list(q="leak")),
        Read("q=leak with cursor", _list(q="leak", cursor="")),
        Read("q=water, sort=priority", _list(q="water", sort="priority")),
        Read("q=two words", _list(q="water leak")),
        Read("as of half a year ago", _list(as_of=half_a_year_ago)),
        Read("one ticket", ticket),
        Read("cursor list", _list(cursor="")),
        Read("history", f"{ticket}/history"),
        Read("events", "/v1/events?limit=10"),
        Read("properties", "/v1/properties"),
        Read("users", "/v1/users"),
    ]
    return [read if _is_allowed(client, read) else msgspec.structs.replace(read, path=None) for read in reads]


def _list(**parameters: Any) -> str:
    return f"/v1/tickets?{urlencode({'per_page': PER_PAGE, **parameters})}"


def _get(client: HttpClient, path: str) -> Any:
    return json.loads(client.request("GET", path))


def _is_allowed(client: HttpClient, read: Read) -> bool:
    """Whether the role may do this read. Every other refusal ends the run."""
    if read.path is None:
        return False
    try:
        client.request("GET", read.path)
    except UnexpectedAnswer as refusal:
        if refusal.status == 403:
            return False
        raise
    return True
