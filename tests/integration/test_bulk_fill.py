"""A rebuild of a long log fills the copy aggregate by aggregate; the rows are the same."""

import pytest

from projections import bulk_fill
from projections import rebuild as rebuilding
from projections.rebuild import rebuild
from projections.verification import verify
from tests.support.history import History, append
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.vault import VAULT

EVENTS = 900
SKIP = "SELECT nextval('es.stored_events_notification_id_seq')"  # as an append does that is rolled back


def ignore_progress(done, total):
    """Stands in for a progress bar."""


@pytest.fixture
def bulk_fills(monkeypatch):
    """The numbers of events that were filled in bulk, which is done for this short log too."""
    monkeypatch.setattr(rebuilding, "LEAST_EVENTS", 1)
    filled = []

    def fill_in_bulk(*arguments):
        filled.append(bulk_fill.fill_in_bulk(*arguments))
        return filled[-1]

    monkeypatch.setattr(rebuilding, "fill_in_bulk", fill_in_bulk)
    return filled


@pytest.mark.parametrize(("batch_size", "ranges"), [(7, 5), (5_000, 64)])
def test_tables_that_are_filled_in_bulk_are_the_fold_of_the_log(
    store, database, conn, catch_up, monkeypatch, bulk_fills, batch_size, ranges
):
    monkeypatch.setattr(bulk_fill, "BATCH_SIZE", batch_size)
    monkeypatch.setattr(bulk_fill, "RANGES", ranges)
    append(store, History(11).grow(EVENTS))
    conn.execute(SKIP)
    catch_up()
    projected = everything(conn)

    report = rebuild(database, VAULT, ignore_progress)

    assert bulk_fills == [report.events]
    assert stored_rows(conn) == folded_rows(conn)
    assert everything(conn) == projected


def test_a_verification_in_bulk_finds_changed_rows(store, database, conn, catch_up, bulk_fills):
    append(store, History(13).grow(EVENTS))
    catch_up()
    correct = verify(database, VAULT, ignore_progress)
    conn.execute("UPDATE read.tickets SET title = 'Wrong' WHERE id = 't3'")
    conn.execute(
        "UPDATE read.past_tickets SET status = 'wrong'"
        " WHERE ctid = (SELECT ctid FROM read.past_tickets LIMIT 1)"
    )

    found = verify(database, VAULT, ignore_progress)

    assert (correct.count, correct.differences, correct.events) == (0, [], found.events)
    assert bulk_fills == [found.events] * 2
    assert sorted(one.table for one in found.differences) == ["past_tickets", "tickets"]


def test_an_event_that_cannot_be_projected_is_parked_alone(store, database, conn, catch_up, bulk_fills):
    history = History(12)
    append(store, history.grow(EVENTS))
    conn.execute(
        "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
        " SELECT originator_id, originator_version + 1, 'ticket.teleported',"
        "        convert_to(replace(convert_from(state, 'UTF8'), topic, 'ticket.teleported'), 'UTF8')"
        "   FROM es.stored_events WHERE topic = 'ticket.opened' AND originator_id NOT IN"
        "        (SELECT originator_id FROM es.stored_events WHERE originator_version > 1) LIMIT 1"
    )
    append(store, history.grow(10))
    catch_up()
    projected = everything(conn)

    rebuild(database, VAULT, ignore_progress)

    assert verify(database, VAULT, ignore_progress).differences == []
    assert bulk_fills == []
    assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (1,)
    assert everything(conn) == projected


def everything(conn):
    """All rows of the read tables as texts, without the times when events were parked."""
    tables = conn.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'read' AND tablename <> 'parked_events'"
    ).fetchall()
    return {
        table: sorted(row for (row,) in conn.execute(f"SELECT t::text FROM read.{table} t"))
        for (table,) in tables
    }
