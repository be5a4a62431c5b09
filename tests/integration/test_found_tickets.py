"""Lists of the tickets that match a search: every way to find them, in every order, by page and by cursor."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from api.http.paging import MAX_OFFSET
from infrastructure.storage.postgres import make_pool
from projections.found_tickets import Limits, build_search
from projections.project_search import MOST_WORDS
from projections.rows import split_total
from projections.ticket_query import NamedTicketRow, RankedTicketRow, TicketQuery, sort_key
from projections.tickets import list_tickets
from tests.support.arrange import register_property
from tests.support.postgres import cloned_database
from tests.support.searching import ADMIN, Tickets
from tests.unit.builders import NOON, caller, context

MANAGER = caller("manager", user_id="manager", reach=("p1", "p3"))
GUEST = caller("guest", user_id="guest", reach=("p1",))
LONG_TEXT = "and so on " * (MOST_WORDS // 3 + 1)
WORDS = ("leak", "boiler", "lock")
# A few of the newest matches are ranked, so that lists are longer.
WAYS = {
    "one by one": Limits(ranked=5),
    "index of words": Limits(near=0, walked=0, ranked=5),
    "order": Limits(near=0, frequent=0, ranked=5),
    "order, then index of words": Limits(
        near=0, frequent=0, read=20, compared=9, compared_for_ranks=9, ranked=5
    ),
}
# Filters of a query, and whether a ticket with these words passes them.
LISTS = [
    ({"q": "leak"}, lambda words, row: "leak" in words),
    (
        {"q": "leak -boiler", "status": ("open", "closed")},
        lambda words, row: "leak" in words and "boiler" not in words and row.status != "in_progress",
    ),
    (
        {"q": "leak", "priority": ("high", "critical"), "category": ("lift", "heating")},
        lambda words, row: "leak" in words and row.priority_rank > 2 and row.category != "plumbing",
    ),
    (
        {"q": "boiler", "property_id": ("p1",)},
        lambda words, row: "boiler" in words and row.property_id == "p1",
    ),
    (
        {"q": "-leak", "assigned_to": ("none",)},
        lambda words, row: "leak" not in words and not row.assignee_id,
    ),
    (
        {"q": "leak", "requester_id": ("guest", "u-caller")},
        lambda words, row: "leak" in words and row.requester_id in ("guest", "u-caller"),
    ),
    (
        {"q": "leak", "tag": ("urgent", "vip")},
        lambda words, row: "leak" in words and not {"urgent", "vip"}.isdisjoint(row.tags or ()),
    ),
    ({"q": "quokka"}, lambda words, row: False),
]


@pytest.fixture(scope="module")
def site(postgres, template):
    """A pool for a database with 40 tickets of all kinds."""
    with (
        cloned_database(postgres, template) as dsn,
        make_pool(dsn, application="tests", max_size=2) as pool,
    ):
        tickets, chance = Tickets(dsn, pool), random.Random(5)
        for name in ("p2", "p3"):
            register_property(tickets.store, name, context(ADMIN))
        for number in range(40):
            _open(tickets, chance, number)
        tickets.project()
        yield pool


def _open(tickets, chance, number):
    ticket = tickets.open(
        chance.choice(WORDS),
        LONG_TEXT if number % 8 == 1 else chance.choice(WORDS),
        by=GUEST if number % 3 == 0 else ADMIN,
        property_id="p1" if number % 3 == 0 else chance.choice(["p1", "p2", "p3"]),
        priority=chance.choice(["low", "medium", "high", "critical"]),
        category="plumbing",
    )
    tickets.change(ticket, tags=tuple(chance.sample(("urgent", "vip", "warranty"), k=chance.randrange(3))))
    if number % 4 == 0:
        tickets.comment(ticket, chance.choice(WORDS), chance.choice(["public", "internal"]))
    if number % 5 == 0:
        tickets.project()  # so that the changes below concern rows that exist
    tickets.change(ticket, status=chance.choice(["open", "in_progress", "closed"]))
    tickets.change(
        ticket, priority=chance.choice(["low", "critical"]), category=chance.choice(["lift", "heating"])
    )
    if number % 7 == 0:
        tickets.delete(ticket)
    if number % 14 == 0:
        tickets.restore(ticket)


def _expected(pool, by, query, passes):
    """The ids of the tickets that the query finds in the order of a list, from all texts."""
    rows = pool.fetch(_TEXTS, {"all": by.role != "guest"})
    found = []
    names = [name for name in NamedTicketRow.__struct_fields__ if name not in _NOT_COMPARED]
    for *values, text in rows:
        row = NamedTicketRow(**dict(zip(names, values, strict=True)), **_NOT_COMPARED)
        visible = by.role == "admin" or row.property_id in by.property_ids
        if visible and (by.role != "guest" or row.requester_id == "guest") and passes(text.split(), row):
            found.append(row)
    found.sort(key=lambda row: (sort_key(query["sort"], row), row.id), reverse=query["order"] == "desc")
    return [row.id for row in found]


_TEXTS = """
    SELECT t.*, array_to_string(ARRAY[t.title, t.description] || ARRAY(
               SELECT c.text FROM read.comments c
                WHERE c.ticket_id = t.id AND (%(all)s OR visibility = 'public')), ' ')
      FROM read.tickets t WHERE NOT is_deleted
"""
_NOT_COMPARED = {
    "property_name": "",
    "unit_name": None,
    "requester_name": "",
    "assignee_name": None,
    "included": None,
}


def _page(pool, by, limits, **query):
    statement, parameters = build_search(by, TicketQuery(**query), limits)
    kind = RankedTicketRow if query["sort"] == "relevance" else NamedTicketRow
    return split_total(kind, pool.fetch(statement, parameters))


def _walk(pool, by, limits, size, **query):
    """The ids of all pages by cursor."""
    after, ids = None, []
    while True:
        rows, total = _page(pool, by, limits, **query, limit=size, after=after, count=False)
        assert total is None
        ids += [row.id for row in rows[:size]]
        if len(rows) <= size:
            return ids
        after = sort_key(query["sort"], rows[size - 1]), rows[size - 1].id


@pytest.mark.parametrize(
    ("by", "way"),
    [*((by, way) for by in (ADMIN, MANAGER) for way in WAYS), (GUEST, "one by one")],
    ids=lambda value: getattr(value, "role", value),
)
def test_a_search_finds_the_same_in_every_way_by_page_and_by_cursor(site, by, way):
    for (filters, passes), order in zip(LISTS, ["desc", "asc"] * len(LISTS), strict=False):
        for sort in ("created_at", "updated_at", "priority", "relevance"):
            query = {**filters, "sort": sort, "order": order}
            expected = _expected(site, by, {**query, "sort": "created_at"}, passes)
            if sort == "relevance":
                rows, _ = _page(site, by, WAYS["one by one"], **query, limit=99)
                assert sorted(expected) == sorted(row.id for row in rows)
                expected = [row.id for row in rows]
            else:
                expected = _expected(site, by, query, passes)
            pages = [_page(site, by, WAYS[way], **query, limit=15, offset=n) for n in (0, 15, 30)]

            assert [row.id for rows, _ in pages for row in rows[:15]] == expected, query
            assert {total for _, total in pages} == {len(expected)}
            assert _walk(site, by, WAYS[way], 7, **query) == expected, query


@pytest.mark.parametrize("way", WAYS)
def test_a_number_finds_its_ticket_once_and_the_tickets_that_contain_it(site, way):
    """The first ticket has a document, the second is too long for one."""
    positions = "SELECT id, number FROM read.tickets WHERE title <> '' AND NOT is_deleted ORDER BY created_at"
    for ticket_id, number in (*site.fetch(positions, {})[:2], (None, 99_999)):
        for sort in ("created_at", "updated_at", "priority", "relevance"):
            for by in (ADMIN, replace(ADMIN, property_ids=frozenset(["nowhere"]))):
                visible = [ticket_id] if ticket_id and by is ADMIN else []
                for q in (f"{number}", f" #{number}"):
                    query = {"q": q, "sort": sort, "order": "desc"}
                    rows, total = _page(site, by, WAYS[way], **query, limit=10)
                    past = list_tickets(site, by, TicketQuery(q=q, as_of=NOON + timedelta(days=1)))

                    assert ([row.id for row in rows], total) == (visible, len(visible)), query
                    assert ([one.id for one in past.items], past.total) == (visible, len(visible))


@pytest.mark.parametrize("offset", [2**15 - 1, 2**31 - 1, MAX_OFFSET])
def test_a_page_far_behind_the_last_one_is_empty_and_has_the_total(site, offset):
    for filters in (
        {},
        {"sort": "priority", "property_id": ("p1", "p2")},
        {"q": "leak"},
        {"q": "leak", "sort": "relevance"},
        {"as_of": NOON + timedelta(days=1)},
        {"as_of": NOON + timedelta(days=1), "q": "leak"},
    ):
        query = TicketQuery(**filters, limit=100)
        page = list_tickets(site, ADMIN, replace(query, offset=offset))
        assert (page.items, page.total) == ([], list_tickets(site, ADMIN, query).total)
