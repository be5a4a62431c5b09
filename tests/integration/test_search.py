"""The search of tickets: words of the whole ticket, as each role and at each time, with every locale."""

from __future__ import annotations

from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from domain.comment import Comment
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect, make_pool
from projections.project_search import MOST_PARTS, MOST_WORDS
from projections.rebuild import rebuild
from projections.schema import create_read_schema
from projections.verification import verify
from tests.support.arrange import add_unit, change_property, register_user
from tests.support.postgres import drop_database
from tests.support.searching import ADMIN, Tickets
from tests.support.vault import VAULT
from tests.unit.builders import NOON, caller, context

GUEST = caller("guest", user_id="guest", reach=("p1",))
LONG_TEXT = "and so on " * (MOST_WORDS // 3 + 1)


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


def test_a_word_also_finds_tickets_by_their_unit_property_people_and_category(tickets, ticket):
    change_property(tickets.store, "p1", context(ADMIN), name="Château Quartz")
    add_unit(tickets.store, "p1", "u7", context(ADMIN), name="B-101")
    for user_id, name in (("ann", "Ann O'Neill"), ("guest", "Zoë Smith")):
        register_user(tickets.store, user_id, context(ADMIN), name=name, property_ids=["p1"])
    tickets.change(ticket, unit_id="u7", assigned_to="ann", category="pest-control")
    other = tickets.open("quokka", by=ADMIN)

    def find(q, by=ADMIN):
        return tickets.search(q, by, finds_names=True)

    assert find("quokka b101") == find("101 boiler") == find("quokka b") == [ticket]
    assert find("chateau quokka") == [ticket, other]
    assert find("oneill") == find("ann zoe") == find("smi wombat") == find("pest") == [ticket]
    assert find("quokka -smith") == [other]
    assert find("nobody quokka") == find('"zoe smith"') == []
    assert find("quokka smith", caller("manager", reach=("p2",))) == []
    assert tickets.search("smith") == tickets.search("b101") == []
    tickets.change(ticket, unit_id=None, assigned_to=None)
    assert find("b101") == find("oneill") == []


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


def test_relevance_puts_words_of_the_title_first_and_ignores_comments_that_a_guest_cannot_read(tickets):
    plain = tickets.open("window", "the boiler and more", by=GUEST)
    often = tickets.open("window", "boiler by boiler", by=GUEST)
    title = tickets.open("boiler", by=GUEST)
    long = tickets.open("window boiler", LONG_TEXT, by=GUEST)
    internal = tickets.open("window", "boiler and so", by=GUEST)
    tickets.comment(internal, "boiler boiler", "internal")

    def ranked(by):
        return tickets.search("boiler", by, sort="relevance", order="desc")

    assert [title, internal, often, plain] == [ticket for ticket in ranked(ADMIN) if ticket != long]
    assert [title, often, internal, plain] == [ticket for ticket in ranked(GUEST) if ticket != long]
    assert tickets.search("boiler", sort="relevance") == ranked(ADMIN)[::-1]
    assert ranked(ADMIN).index(long) < ranked(ADMIN).index(often)


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
