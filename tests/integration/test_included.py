"""A list of tickets includes what the detail and the history of each ticket show, in one statement."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from msgspec.structs import asdict, replace

from domain.attachment import Attachment
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from projections.history import HistoryQuery, ticket_history
from projections.included import BYTES_OF_EACH, ENTRIES_SHOWN
from projections.runner import catch_up, connect_projector
from projections.ticket_filters import TicketQuery
from projections.tickets import count_tickets, get_ticket, list_tickets
from tests.support.history import History, append, comment_added
from tests.support.postgres import cloned_database
from tests.support.vault import VAULT
from tests.unit.builders import NOON, TICKET_FIELDS, caller, context

ALL = ("attachments", "comments", "history")
LONG = 250  # versions, of which the list shows the newest 100
READERS = [
    caller(),
    replace(caller("manager", reach=("p0", "p1")), scopes=frozenset(["tickets:read"])),  # not an auditor
    caller("guest", user_id="u1"),
]


@pytest.fixture(scope="module")
def dsn(postgres, template):
    """A database with random histories of tickets, and two long tickets."""
    with cloned_database(postgres, template) as dsn, make_pool(dsn, application="tests", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        append(store, History(7).grow(400))
        tickets = (long_ticket("long"), bulky_ticket("bulky"), edited_ticket("edited"))
        append(store, [ticket.collect_events() for ticket in tickets])
        with connect_projector(dsn) as conn:
            while catch_up(conn, VAULT):
                pass
        yield dsn


@pytest.fixture
def pool(dsn):
    with make_pool(dsn, application="tests", max_size=1) as pool:
        pool.wait()  # opening a connection takes statements
        yield pool


@pytest.fixture
def store(pool):
    return EventStore(pool, VAULT)


@pytest.fixture
def statements(monkeypatch):
    """Counts the statements that psycopg executes, by their first word."""
    counts = Counter()
    execute = psycopg.Cursor.execute

    def execute_and_count(cursor, query, *arguments, **options):
        counts["all"] += 1
        return execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute_and_count)
    return counts


def long_ticket(ticket_id):
    ticket = Ticket.open(ticket_id, context(), **TICKET_FIELDS | {"property_id": "p0"})
    for number in range(2, LONG + 1):
        ticket.change({"title": f"Title {number}"}, context())
    return ticket


def edited_ticket(ticket_id):
    """A ticket whose comments and files were edited and removed."""
    ticket = Ticket.open(ticket_id, context(), **TICKET_FIELDS | {"property_id": "p0"})
    comments = []
    for number, visibility in enumerate(("public", "internal", "public", "internal")):
        ticket.comment(f"edited-{number}", f"Text {number}", visibility, context())
        comments.append(comment_added(ticket.pending[-1]))
        ticket.attach(Attachment(f"file-{number}", "a.jpg", "image/jpeg", 1, "00" * 32, NOON), context())
    for number in (0, 1):
        ticket.edit_comment(comments[number], f"Edited {number}", context())
        edited = replace(comments[number], text=f"Edited {number}", text_version=ticket.version)
        ticket.edit_comment(edited, f"Edited again {number}", context())
    for number in (2, 3):
        ticket.remove_comment(comments[number], context())
        ticket.remove_file(ticket.attachments[0], context())
    return ticket


def bulky_ticket(ticket_id):
    """A ticket with more bytes of comments than a list shows."""
    ticket = Ticket.open(ticket_id, context(), **TICKET_FIELDS | {"property_id": "p0"})
    for number in range(6):
        ticket.comment(f"bulky-{number}", "x" * 60_000, "public", context())
    return ticket


def included(pool, store, reader):
    """The oldest tickets with all that a list includes, by id."""
    page = list_tickets(
        pool,
        reader,
        TicketQuery(limit=100, include=ALL, order="asc"),
        lambda ticket_id, version: store.at_version(Ticket, ticket_id, version),
    )
    return {ticket.id: ticket for ticket in page.items}


@pytest.mark.parametrize("reader", READERS, ids=lambda by: by.role)
def test_a_list_includes_what_the_detail_and_the_history_show(pool, store, reader):
    found = included(pool, store, reader)
    found.pop("bulky", None)

    assert found
    for ticket_id, ticket in found.items():
        detail = get_ticket(pool, ticket_id, include_internal=reader.role != "guest").detail
        now = store.load(Ticket, ticket_id)
        query = HistoryQuery(order="desc", limit=ENTRIES_SHOWN)
        history = ticket_history(pool, store, now, query, is_auditor=reader.is_auditor).items[::-1]
        assert (ticket.attachments, ticket.comments) == (detail.attachments, detail.comments), ticket_id
        assert (ticket.comments_count, ticket.history) == (detail.comments_count, history), ticket_id
    actions = {entry.action for ticket in found.values() for entry in ticket.history}
    assert {"ticket.comment_edited", "ticket.comment_removed", "ticket.file_removed"} <= actions


@pytest.mark.parametrize("snapshots", ["absent", "stored", "of another log"])
def test_the_newest_entries_of_a_long_history_are_the_same_with_and_without_snapshots(
    dsn, pool, store, snapshots
):
    with connect(dsn, application="tests") as conn:
        conn.execute("DELETE FROM cache.snapshots")
        if snapshots != "absent":
            EventStore(pool, VAULT).load(Ticket, "long")
            assert conn.execute("SELECT count(*) FROM cache.snapshots").fetchone() == (2,)
        if snapshots == "of another log":
            conn.execute("UPDATE cache.snapshots SET event_sha256 = sha256('another event')")

    entries = included(pool, store, caller())["long"].history

    assert [entry.version for entry in entries] == list(range(LONG - 99, LONG + 1))
    first = entries[0].changes["title"]
    assert (first.before, first.after) == (f"Title {LONG - 100}", f"Title {LONG - 99}")


def test_a_list_includes_the_newest_comments_and_events_within_a_number_of_bytes(pool, store):
    ticket = included(pool, store, caller())["bulky"]

    shown = BYTES_OF_EACH // 60_000
    assert [comment.id for comment in ticket.comments] == [f"bulky-{n}" for n in range(6 - shown, 6)]
    assert [entry.version for entry in ticket.history] == list(range(8 - shown, 8))
    assert ticket.comments_count == 6


@pytest.mark.parametrize("q", [None, "leak"], ids=["filters", "search"])
@pytest.mark.parametrize("limit", [1, 20])
@pytest.mark.parametrize("include", [(), ("comments",), ALL], ids=str)
def test_a_list_is_one_statement_whatever_it_includes(pool, store, statements, include, limit, q):
    store.load(Ticket, "long")  # stores the snapshots
    statements.clear()

    query = TicketQuery(include=include, limit=limit, q=q)
    page = list_tickets(pool, caller(), query, lambda *_: pytest.fail("no other read is needed"))

    assert len(page.items) == limit
    assert statements == {"all": 1}


@pytest.mark.parametrize(
    "query",
    [
        TicketQuery(),
        TicketQuery(status=("open",), priority=("high", "low")),
        TicketQuery(q="leak -ceiling"),
        TicketQuery(assigned_to=("none", "u1"), property_id=("p0",)),
        TicketQuery(requester_id=("u0", "u1"), q="leak"),
        TicketQuery(status=("closed",), as_of=context().at),
        TicketQuery(property_id=("nowhere",)),
    ],
    ids=lambda query: repr(
        {name: value for name, value in asdict(query).items() if value and name != "limit"}
    ),
)
@pytest.mark.parametrize("reader", READERS, ids=lambda by: by.role)
def test_the_number_of_tickets_is_the_total_of_the_list(pool, reader, statements, query):
    count = count_tickets(pool, reader, query)

    assert statements == {"all": 1}
    assert count == list_tickets(pool, reader, query).total
