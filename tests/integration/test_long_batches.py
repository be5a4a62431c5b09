"""No batch of the projector becomes a long transaction, for which all writers would wait."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta

from domain.property import Property
from domain.ticket import Ticket, TicketCommented
from projections.runner import Projector, catch_up, connect_projector
from tests.support.history import append
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.unit.builders import NOON, OCEAN_DRIVE, TICKET_FIELDS, context

LONGEST_TEXT = "x" * 65_535
LIMIT_SECONDS = 60


def comments(*texts):
    """The events of a property and of a ticket with these comments, one list for each append."""
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    for number, text in enumerate(texts):
        facts = {"comment_id": f"c{number}", "text": text, "visibility": "public", "author_id": "u1"}
        ticket.record(TicketCommented, context(at=NOON + timedelta(seconds=number)), **facts)
    return [place.collect_events(), *([event] for event in ticket.collect_events())]


def sizes_of_batches(database):
    sizes = []
    with connect_projector(database) as projector:
        while size := catch_up(projector, VAULT):
            sizes.append(size)
    return sizes


def test_long_events_end_a_batch_early(store, conn, database):
    texts = [*["short"] * 40, *[LONGEST_TEXT] * 4, *["short"] * 40]
    append(store, comments(*texts))

    sizes = sizes_of_batches(database)

    assert sizes == [43, 1, 1, 41]  # each ends before its second long event
    assert stored_rows(conn) == folded_rows(conn)


@contextmanager
def slow_audit_rows(conn, seconds):
    """Each row of audit_events takes this long to insert."""
    conn.execute(
        "CREATE FUNCTION public.take_long() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$"
    )
    conn.execute(
        "CREATE TRIGGER take_long BEFORE INSERT ON read.audit_events"
        " FOR EACH ROW EXECUTE FUNCTION public.take_long()"
    )
    yield
    conn.execute("DROP FUNCTION public.take_long CASCADE")


def test_a_batch_that_exceeds_the_time_limit_of_statements_is_projected_in_smaller_ones(
    store, conn, database, monkeypatch
):
    monkeypatch.setattr("projections.runner.STATEMENT_LIMIT", "300ms")
    last = append(store, comments(*["short"] * 98))
    stop = threading.Event()
    projector = threading.Thread(target=Projector(database, VAULT).run, args=(stop,))
    with slow_audit_rows(conn, 0.004):
        projector.start()
        try:
            eventually(lambda: position(conn) == last, LIMIT_SECONDS)
        finally:
            stop.set()
            projector.join(LIMIT_SECONDS)

    assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)
    assert stored_rows(conn) == folded_rows(conn)


def position(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]
