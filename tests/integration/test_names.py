"""Names are joined by the reader: a new name changes one row, and no page shows it beside the old one."""

from __future__ import annotations

import threading

import pytest

from domain.property import Property
from domain.ticket import Ticket, TicketCommented
from domain.user import Preferences, User
from projections.parked_events import retry_parked_events
from projections.runner import catch_up, connect_projector
from projections.ticket_query import TicketQuery
from projections.tickets import get_ticket, list_tickets
from projections.verification import verify
from tests.support.history import append
from tests.support.tampering import unprotect
from tests.support.vault import VAULT
from tests.unit.builders import OCEAN_DRIVE, TICKET_FIELDS, caller, context

TICKETS = 30
RENAMES = 60
NOT_JSON = b"not json"


@pytest.fixture
def projector(database):
    with connect_projector(database) as conn:
        yield conn


@pytest.fixture
def place(store):
    """A property, whose events are stored."""
    place = Property.register("p1", context(), name="Name 0", address=OCEAN_DRIVE)
    append(store, [place.collect_events()])
    return place


@pytest.fixture
def person(store):
    """A user, whose events are stored."""
    facts = {"email": "a@example.com", "phone": None, "role": "staff", "property_ids": ["p1"]}
    person = User.register("u1", context(), name="Name 0", preferences=Preferences(), **facts)
    append(store, [person.collect_events()])
    return person


def ticket_of(store, ticket_id="t1"):
    """Store a ticket of the property, with the user as requester and author of a comment."""
    ticket = Ticket.open(ticket_id, context(), **TICKET_FIELDS)
    facts = {"comment_id": f"c-{ticket_id}", "text": "Leak", "visibility": "public", "author_id": "u1"}
    ticket.record(TicketCommented, context(), **facts)
    append(store, [ticket.collect_events()])


def rename(store, aggregate, name):
    """Store a new name and return its position."""
    aggregate.change({"name": name}, context())
    return append(store, [aggregate.collect_events()])


def project(projector):
    while catch_up(projector, VAULT):
        pass


def test_a_new_name_changes_no_row_of_the_tickets_and_comments_that_show_it(
    store, projector, conn, place, person
):
    for number in range(TICKETS):
        ticket_of(store, f"t{number}")
    project(projector)
    rows = "SELECT ctid, xmin, xmax FROM read.tickets UNION ALL SELECT ctid, xmin, xmax FROM read.comments"
    before = conn.execute(rows).fetchall()

    rename(store, place, "Name 1")
    rename(store, person, "Name 1")
    project(projector)

    assert conn.execute(rows).fetchall() == before
    assert len(before) == 2 * TICKETS


def test_no_page_shows_an_old_and_a_new_name(store, projector, pool, place, person):
    for number in range(TICKETS):
        ticket_of(store, f"t{number}")
    project(projector)
    is_renamed = threading.Event()

    def rename_often():
        for number in range(1, RENAMES + 1):
            for aggregate in (place, person):
                rename(store, aggregate, f"Name {number}")
            project(projector)
        is_renamed.set()

    renaming = threading.Thread(target=rename_often)
    renaming.start()
    pages = []
    while not is_renamed.is_set():
        pages.append(list_tickets(pool, caller(), TicketQuery(limit=100)).items)
    renaming.join()

    shown = [
        ({item.property.name for item in page}, {item.requester.name for item in page}) for page in pages
    ]
    assert [names for names in shown if tuple(map(len, names)) != (1, 1)] == []
    assert len({str(names) for names in shown}) > 2, "the pages were read while names changed"


def test_a_name_that_was_parked_is_newer_than_every_version_that_was_shown_before(
    store, projector, conn, pool, place, person, database
):
    unprotect(conn)
    position = rename(store, place, "Name 1")
    select = "SELECT state FROM es.stored_events WHERE notification_id = %s"
    (state,) = conn.execute(select, [position]).fetchone()
    set_state(conn, position, NOT_JSON)
    ticket_of(store)
    project(projector)
    before = get_ticket(pool, "t1", include_internal=True)

    set_state(conn, position, state)
    retried = retry_parked_events(projector, VAULT)
    after = get_ticket(pool, "t1", include_internal=True)

    assert retried == (1, 0)
    assert (before.detail.property.name, after.detail.property.name) == ("Name 0", "Name 1")
    assert (before.version_can_be_etag, after.version_can_be_etag) == (True, False)
    assert verify(database, VAULT, lambda done, total: None).count == 0


def set_state(conn, position, state):
    conn.execute("UPDATE es.stored_events SET state = %s WHERE notification_id = %s", [state, position])
