"""The projector and the readers with events of unknown types and unknown or missing columns."""

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from falcon.testing import TestClient
from structlog.testing import CapturingLogger

from cli.database import prepare
from projections import batch
from projections.rows import TABLES
from projections.runner import catch_up as project
from projections.runner import connect_projector
from projections.schema import read_schema_state
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.verification import NothingToVerify, verify
from server.app import create_app
from tests.support.api import services_on
from tests.support.history import History, append
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.vault import VAULT
from tests.unit.builders import caller

QUERY = TicketQuery(limit=100)


def ignore_progress(done, total):
    """Stands in for a progress bar."""


def fetch_readiness(dsn, tmp_path):
    with services_on(dsn, tmp_path) as services:
        return TestClient(create_app(services)).simulate_get("/health/ready")


def migrate(dsn, tmp_path):
    """Runs `ticketing migrate`; returns the steps that it reports."""
    with services_on(dsn, tmp_path) as services:
        return prepare(services.settings)


def position(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_the_columns_of_its_struct(conn, table):
    stored = conn.execute(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        [f"read.{table}"],
    )

    assert {name for (name,) in stored} == set(TABLES[table].__struct_fields__)


def test_an_event_of_unknown_type_is_parked_and_reported(store, database, conn, catch_up, tmp_path):
    append(store, History(21).grow(30))
    catch_up()
    known = stored_rows(conn)
    store.recorder.insert_events(
        [StoredEvent("t-new", 1, "ticket.teleported", b'{"type":"ticket.teleported"}')]
    )
    ((newest,),) = conn.execute("SELECT max(notification_id) FROM es.stored_events").fetchall()

    catch_up()

    ((parked_position, error),) = conn.execute("SELECT position, error FROM read.parked_events").fetchall()
    assert parked_position == newest == position(conn)
    assert "ticket.teleported" in error
    assert "install a version that can, then run `ticketing rebuild`" in error
    assert stored_rows(conn) == known
    assert conn.execute("SELECT FROM read.audit_events WHERE position = %s", [newest]).fetchone() is None
    answer = fetch_readiness(database, tmp_path)
    assert answer.status_code == 200
    assert (answer.json["data"]["projector_lag"], answer.json["data"]["parked_events"]) == (0, 1)
    assert verify(database, VAULT, ignore_progress).count == 0


def test_an_unknown_column_stops_neither_projector_nor_readers_and_migrate_removes_it(
    store, pool, database, conn, catch_up, tmp_path
):
    history = History(22)
    append(store, history.grow(30))
    catch_up()
    conn.execute("ALTER TABLE read.tickets ADD COLUMN mood text")
    append(store, history.grow(30))

    catch_up()

    assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)
    assert stored_rows(conn) == folded_rows(conn)
    assert list_tickets(pool, caller(), QUERY).items
    assert fetch_readiness(database, tmp_path).json["error"]["details"] == {
        "read_tables": ["The read tables are outdated. Run `ticketing migrate`."]
    }
    with pytest.raises(NothingToVerify, match="run `ticketing rebuild`"):
        verify(database, VAULT, ignore_progress)
    assert migrate(database, tmp_path) == ["read tables refilled"]
    assert read_schema_state(conn) == "current"


def test_with_a_missing_column_projector_and_readers_fail_and_park_nothing_until_migrate_refills(
    store, pool, database, conn, catch_up, tmp_path, monkeypatch
):
    log = CapturingLogger()
    monkeypatch.setattr(batch, "log", log)
    history = History(23)
    append(store, history.grow(30))
    catch_up()
    stopped_at = position(conn)
    conn.execute("ALTER TABLE read.tickets DROP COLUMN category")
    append(store, history.grow(60))

    with connect_projector(database) as projector, pytest.raises(psycopg.errors.UndefinedColumn):
        while project(projector, VAULT, 1):
            pass
    with pytest.raises(psycopg.errors.UndefinedColumn):
        list_tickets(pool, caller(), QUERY)

    assert log.calls[0].kwargs["remedy"] == "Run `ticketing migrate`."
    assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)
    assert stopped_at <= position(conn)
    assert fetch_readiness(database, tmp_path).json["error"]["details"] == {
        "read_tables": ["The read tables are outdated. Run `ticketing migrate`."]
    }
    assert migrate(database, tmp_path) == ["read tables refilled"]
    assert list_tickets(pool, caller(), QUERY).items
    assert stored_rows(conn) == folded_rows(conn)
