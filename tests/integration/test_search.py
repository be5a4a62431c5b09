"""The search of tickets: words of the whole ticket, as each role and at each time, with every locale."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket, delete_ticket, restore_ticket
from commands.values import ValidValues
from domain.ticket import Comment, Ticket
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool, migrate
from projections.project_search import MOST_PARTS, MOST_WORDS
from projections.rebuild import rebuild
from projections.runner import catch_up, connect_projector
from projections.schema import create_read_schema
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.verification import verify
from tests.support.arrange import change_ticket, comment_on_ticket, register_property
from tests.support.postgres import drop_database
from tests.support.vault import VAULT
from tests.unit.builders import NOON, caller, context

ADMIN, GUEST = caller("admin"), caller("guest", user_id="guest", reach=("p1",))
LONG_TEXT = "and so on " * (MOST_WORDS // 3 + 1)


class Tickets:
    """Opens and changes tickets, one second after another, and searches them."""

    def __init__(self, dsn, pool):
        self._dsn = dsn
        self._pool = pool
        self.store = EventStore(pool, VAULT)
        self._at = NOON
        register_property(self.store, "p1", context(ADMIN))

    def open(self, title, description="", *, by=ADMIN):
        values = NewTicket(title=title, description=description, property_id="p1")
        return open_ticket(self.store, ValidValues(values), self._next(by)).id

    def change(self, ticket_id, **changes):
        change_ticket(self.store, ticket_id, self._next(), **changes)

    def comment(self, ticket_id, text, visibility="public"):
        return comment_on_ticket(self.store, ticket_id, self._next(), text=text, visibility=visibility)

    def alter(self, ticket_id, change):
        ticket = self.store.load(Ticket, ticket_id)
        change(ticket, self._next())
        self.store.save(ticket)

    def delete(self, ticket_id):
        delete_ticket(self.store, ticket_id, self._next())

    def restore(self, ticket_id):
        restore_ticket(self.store, ticket_id, self._next())

    @property
    def now(self):
        return self._at

    def search(self, q, by=ADMIN, **others):
        """The ids of the tickets found, oldest first."""
        with connect_projector(self._dsn) as conn:
            while catch_up(conn, VAULT, 7):
                pass
        page = list_tickets(self._pool, by, TicketQuery(q=q, order="asc", limit=100, **others))
        assert page.total == len(page.items)
        return [ticket.id for ticket in page.items]

    def _next(self, by=ADMIN):
        self._at += timedelta(seconds=1)
        return context(by, at=self._at)


@pytest.fixture
def tickets(database, pool):
    return Tickets(database, pool)


@pytest.fixture(params=["", LONG_TEXT], ids=["short", "long"])
def ticket(tickets, request):
    """A short ticket, which has a document, or a long one, which has none."""
    ticket_id = tickets.open("quokka boiler", request.param, by=GUEST)
    tickets.comment(ticket_id, "wombat window")
    tickets.comment(ticket_id, "psst, numbat", "internal")
    return ticket_id


def test_the_words_of_a_search_may_be_in_different_texts_of_a_ticket(tickets, ticket):
    other = tickets.open("wombat boiler")

    assert tickets.search("quokka wombat") == [ticket]
    assert tickets.search("quokka wombat numbat boiler") == [ticket]
    assert tickets.search("boiler -wombat") == []
    assert tickets.search("boiler -numbat") == [other]
    assert tickets.search("boiler -quokka") == [other]
    assert tickets.search("-quokka") == [other]
    assert tickets.search('"quokka boiler" "wombat window"') == [ticket]
    assert tickets.search('"boiler wombat"') == tickets.search('"window psst"') == []


def test_a_guest_learns_nothing_from_internal_comments(tickets, ticket):
    assert tickets.search("boiler wombat", GUEST) == [ticket]
    assert tickets.search("numbat", GUEST) == tickets.search("boiler numbat", GUEST) == []
    for excluded in ("-numbat", "boiler -numbat", 'boiler -"psst numbat"', "boiler -psst"):
        assert tickets.search(excluded, GUEST) == [ticket]
        assert tickets.search(excluded, GUEST, as_of=tickets.now) == [ticket]
    assert tickets.search("numbat", GUEST, as_of=tickets.now) == []
    assert tickets.search("boiler -wombat", GUEST) == []


def test_a_public_word_is_found_by_guests_although_internal_comments_contain_it_often(tickets):
    ticket = tickets.open("leak", by=GUEST)
    for _ in range(2):
        tickets.comment(ticket, "numbat " * 300, "internal")
    tickets.comment(ticket, "numbat")

    assert tickets.search("numbat", GUEST) == [ticket]


def test_a_search_as_of_a_time_considers_the_texts_of_that_time(tickets, ticket):
    before = tickets.now
    tickets.change(ticket, title="zebra")
    tickets.comment(ticket, "okapi")
    between = tickets.now
    tickets.change(ticket, title="boiler again")

    assert tickets.search("quokka wombat -zebra -okapi", as_of=before) == [ticket]
    assert tickets.search("zebra", as_of=before) == tickets.search("okapi", as_of=before) == []
    assert tickets.search("zebra wombat okapi", as_of=between) == [ticket]
    assert tickets.search("quokka", as_of=between) == tickets.search("wombat -okapi", as_of=between) == []
    assert tickets.search("boiler again okapi -zebra -quokka", as_of=tickets.now) == [ticket]
    assert tickets.search("boiler again okapi -zebra -quokka") == [ticket]
    assert tickets.search("zebra") == tickets.search("quokka") == []
    assert tickets.search("quokka", as_of=NOON) == tickets.search("-quokka", as_of=NOON) == []


def test_a_deleted_ticket_is_found_after_it_was_restored(tickets, ticket):
    tickets.delete(ticket)
    assert tickets.search("quokka wombat") == []

    tickets.restore(ticket)
    assert tickets.search("quokka wombat") == [ticket]


def test_a_ticket_of_any_length_is_found_by_all_its_words(tickets, database, conn):
    ticket = tickets.open("quokka boiler", by=GUEST)
    for number in range(MOST_PARTS + 2):
        tickets.comment(ticket, f"comment w{number}x numbat", "internal" if number % 2 else "public")
        if number in (0, MOST_PARTS - 2, MOST_PARTS - 1, MOST_PARTS + 1):
            assert tickets.search(f"quokka w0x w{number}x") == [ticket]
    tickets.change(ticket, title="zebra")

    assert tickets.search(f"zebra w1x w{MOST_PARTS}x -quokka") == [ticket]
    assert tickets.search("zebra w2x -w1x", GUEST) == [ticket]
    assert tickets.search("zebra -w1x") == tickets.search("w1x", GUEST) == []
    assert conn.execute("SELECT count(*) FROM read.search_documents").fetchone() == (0,)
    assert verify(database, VAULT, lambda done, total: None).differences == []
    rebuild(database, VAULT, lambda done, total: None)
    assert tickets.search(f"zebra w1x w{MOST_PARTS}x -quokka") == [ticket]


def test_an_edited_comment_is_found_by_its_new_text_and_a_removed_one_not_at_all(tickets, ticket, conn):
    tickets.comment(ticket, "okapi")
    assert tickets.search("quokka okapi") == [ticket]
    (row,) = conn.execute(
        "SELECT id, author_id, created_at FROM read.comments WHERE text = 'okapi'"
    ).fetchall()
    comment_id, author_id, created_at = row
    comment = Comment(
        id=comment_id,
        text="okapi",
        visibility="public",
        author_id=author_id,
        created_at=created_at,
        text_version=1,
    )

    tickets.alter(ticket, lambda loaded, at: loaded.edit_comment(comment, "zebra", at))
    assert tickets.search("quokka zebra -okapi") == [ticket]

    tickets.alter(ticket, lambda loaded, at: loaded.remove_comment(comment, at))
    assert tickets.search("quokka wombat -zebra -okapi") == [ticket]
    assert tickets.search("zebra") == tickets.search("zebra", as_of=tickets.now) == []
    assert conn.execute(
        "SELECT count(*) FROM read.search_parts WHERE part_id = %s", [comment_id]
    ).fetchone() == (0,)


def test_the_statistics_of_the_database_contain_no_words_of_tickets(tickets, ticket, conn):
    for _ in range(30):
        tickets.open("quokka")
    assert len(tickets.search("quokka")) == 31
    conn.execute("ANALYZE read.search_parts, read.search_documents")

    found = conn.execute("SELECT tablename, attname FROM pg_stats WHERE tablename ~ '^search_'").fetchall()

    assert ("search_documents", "ticket_id") in found
    assert "search" not in {column for _, column in found}


LOCALES = {
    "C": "LOCALE 'C'",
    "C.UTF-8": "LOCALE 'C.UTF-8'",
    "another provider": "LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'",
    "Turkish": "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
}
TEXTS = (
    "Straße “Isı”—İzmir ÇAĞRI",
    "TITLE I i",
    "漏水 IMG_1234.jpg",
    "won’t (555) 123-4567",
    "Ärger Σίσυφος",
)
SEARCHES = ("strasse", "ISI izmir", "ısı", "title i", "TİTLE", "漏水", "img 1234", "won't", "5551234567")
SEARCHES += ("arger", "ΣΊΣΥΦΟΣ", "çağrı", "-title", '"title i"', "ärger -çağrı")


@contextmanager
def database_with(postgres, locale):
    """A migrated database with that locale; None if the server does not support it."""
    name = "ticketing_locale"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' " + locale)
    with psycopg.connect(postgres, autocommit=True) as conn:
        try:
            conn.execute(create.format(sql.Identifier(name)))
        except (
            psycopg.errors.FeatureNotSupported,
            psycopg.errors.InvalidParameterValue,
            psycopg.errors.SyntaxError,
        ):
            yield None
            return
    try:
        dsn = make_conninfo(postgres, dbname=name)
        migrate(dsn)
        with connect(dsn, application="tests") as conn:
            create_read_schema(conn)
        yield dsn
    finally:
        drop_database(postgres, name)


def test_a_search_finds_the_same_with_every_locale_of_the_server(postgres):
    results = {}
    for name, locale in LOCALES.items():
        with database_with(postgres, locale) as dsn:
            if dsn is None:
                continue
            with make_pool(dsn, application="tests", max_size=2) as pool:
                tickets = Tickets(dsn, pool)
                numbers = {tickets.open(text): number for number, text in enumerate(TEXTS)}
                results[name] = {q: [numbers[ticket] for ticket in tickets.search(q)] for q in SEARCHES}

    assert len(results) >= 3
    assert results["C"] == {
        "strasse": [0],
        "ISI izmir": [0],
        "ısı": [0],
        "title i": [1],
        "TİTLE": [1],
        "漏水": [2],
        "img 1234": [2],
        "won't": [3],
        "5551234567": [3],
        "arger": [4],
        "ΣΊΣΥΦΟΣ": [4],
        "çağrı": [0],
        "-title": [0, 2, 3, 4],
        '"title i"': [1],
        "ärger -çağrı": [4],
    }
    assert all(found == results["C"] for found in results.values()), results
