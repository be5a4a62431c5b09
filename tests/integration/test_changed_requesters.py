"""A ticket that gets another requester: lists of now and then, the search, and the feed of changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket
from commands.values import ValidValues
from projections.changes import ChangesQuery, read_changes
from projections.rebuild import rebuild
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.verification import verify
from tests.support.arrange import change_ticket, comment_on_ticket, register_property, register_user
from tests.support.keys import make_key
from tests.support.vault import VAULT
from tests.unit.builders import NOON, caller, context

FORMER, NEW = (caller("guest", user_id=user_id, reach=["p1", "p2"]) for user_id in ("former", "new"))
PAST = timedelta(seconds=30)


@pytest.fixture
def people(store):
    for property_id in ("p1", "p2"):
        register_property(store, property_id, context())
    for user_id in ("former", "new"):
        register_user(store, user_id, context(), name=user_id, role="guest", property_ids=("p1", "p2"))


@pytest.fixture
def ticket_id(store, people, catch_up):
    """A ticket that the read tables have."""
    opened_id = open_own(store)
    catch_up()
    return opened_id


def open_own(store, **facts):
    values = NewTicket(**{"title": "Leak", "property_id": "p1", **facts})
    return open_ticket(store, ValidValues(values), context(FORMER)).id


def give(store, ticket_id, requester_id, *, at=NOON + 2 * PAST, **changes):
    change_ticket(store, ticket_id, context(at=at), requester_id=requester_id, **changes)


def key_holder(store, by, *property_ids):
    """The caller with a key that is restricted to the properties."""
    key = make_key(store, role="guest", user_id=by.user_id, property_ids=property_ids)
    return replace(by, credential_id=key.api_key.id)


def follow(pool, by, after=None, limit=100):
    """The items after the position, as (kind, ticket), and the position where they end."""
    query = ChangesQuery(limit=limit, **({} if after is None else {"after": after}))
    items = []
    while True:
        page = read_changes(pool, by, query)
        items += [(item.kind, item.ticket_id) for item in page.items]
        query = replace(query, after=page.position)
        if not page.has_more:
            return items, page.position


def ids(pool, by, **fields):
    page = list_tickets(pool, by, TicketQuery(limit=10, **fields))
    assert page.total == len(page.items)
    return [(item.id, item.requester.id) for item in page.items]


def test_lists_and_searches_show_a_ticket_to_its_present_requester_and_past_ones_to_the_former(
    store, pool, catch_up, ticket_id
):
    change_ticket(store, ticket_id, context(at=NOON + timedelta(seconds=10)), title="Leak again")
    give(store, ticket_id, "new")
    catch_up()

    for query in ({}, {"q": "leak"}, {"q": "leak", "requester_id": ("new",)}, {"requester_id": ("new",)}):
        assert ids(pool, NEW, **query) == ids(pool, caller(), **query) == [(ticket_id, "new")]
        assert ids(pool, FORMER, **query) == []
    then = NOON + PAST
    for query in ({}, {"q": "leak"}):
        assert ids(pool, FORMER, as_of=then, **query) == [(ticket_id, "former")]
        assert ids(pool, NEW, as_of=then, **query) == []
    assert ids(pool, caller(), as_of=then, requester_id=("former",)) == [(ticket_id, "former")]
    assert ids(pool, caller(), as_of=then, requester_id=("new",)) == []
    assert ids(pool, NEW, as_of=NOON + 3 * PAST) == [(ticket_id, "new")]


def test_a_name_in_a_search_finds_the_tickets_of_the_present_requester(store, pool, catch_up, ticket_id):
    give(store, ticket_id, "new")
    catch_up()

    assert ids(pool, caller(), q="new", finds_names=True) == [(ticket_id, "new")]
    assert ids(pool, caller(), q="former", finds_names=True) == []


@pytest.mark.parametrize("limit", [1, 100])
def test_the_ticket_is_gone_for_the_former_requester_and_new_for_the_other(
    store, pool, catch_up, ticket_id, limit
):
    given, kept = ticket_id, open_own(store, title="Kept")
    former, new = key_holder(store, FORMER), key_holder(store, NEW)
    catch_up()
    _, position = follow(pool, former)
    give(store, given, "new")
    comment_on_ticket(store, given, context())
    change_ticket(store, kept, context(), title="Kept still")
    catch_up()

    items, end = follow(pool, former, position, limit)
    assert items == [("gone", given), ("upsert", kept)]
    assert follow(pool, new, position, limit)[0] == follow(pool, new)[0] == [("upsert", given)]
    give(store, given, "former")
    catch_up()
    assert follow(pool, former, end, limit)[0] == [("upsert", given)]
    assert follow(pool, former, position, limit)[0] == [("upsert", kept), ("upsert", given)]
    assert follow(pool, new, end, limit)[0] == [("gone", given)]


def test_a_restricted_key_learns_only_of_tickets_that_were_within_its_reach(store, pool, catch_up, people):
    inside, moved, outside = open_own(store), open_own(store), open_own(store, property_id="p2")
    holder = key_holder(store, FORMER, "p1")
    catch_up()
    _, position = follow(pool, holder)
    change_ticket(store, moved, context(), property_id="p2")
    for ticket_id in (inside, moved, outside):
        give(store, ticket_id, "new")
    catch_up()

    assert follow(pool, holder, position)[0] == [("gone", inside), ("gone", moved)]


def test_a_verification_and_a_rebuild_agree_with_the_projector(database, store, pool, catch_up, ticket_id):
    give(store, ticket_id, "new")
    catch_up()

    assert verify(database, VAULT, lambda done, total: None).count == 0
    rebuild(database, VAULT, lambda done, total: None)
    assert verify(database, VAULT, lambda done, total: None).count == 0
    assert ids(pool, FORMER, as_of=NOON + PAST) == [(ticket_id, "former")]
