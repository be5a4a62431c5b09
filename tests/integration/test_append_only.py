"""The database role of the processes can append to the log and cannot alter it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.roles import APPLICATION, grant_to_application
from notary.follower import sign_log
from notary.signing import rotate_key
from projections.rebuild import rebuild
from projections.runner import catch_up, connect_projector
from projections.verification import verify
from tests.acceptance.site import Site
from tests.support.history import History, append
from tests.support.vault import VAULT

TABLES = ("es.stored_events", "notary.pages", "notary.statements")
ATTEMPTS = (
    "UPDATE {} SET {} = {}",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "DROP TABLE {}",
)
COLUMNS = {"es.stored_events": "state", "notary.pages": "root", "notary.statements": "line"}


@pytest.fixture
def application(database):
    """The connection string of the application's role."""
    dsn = make_conninfo(database, user=APPLICATION, password="test")
    grant_to_application(database, dsn)
    return dsn


@pytest.mark.parametrize("lock", ["watermark", "table"])
def test_the_role_can_do_everything_that_the_processes_do(application, lock):
    with make_pool(application, application="tests", max_size=2) as pool:
        append(EventStore(pool, VAULT, lock=lock), History(seed=1).grow(30))
    with connect_projector(application) as projector:
        while catch_up(projector, VAULT):
            pass
    with connect(application, application="tests") as conn:
        sign_log(conn, VAULT)
        rotate_key(conn, VAULT)

    assert verify(application, VAULT, lambda done, total: None).count == 0
    assert rebuild(application, VAULT, lambda done, total: None).events >= 30


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_role_cannot_alter_append_only_tables(application, table, attempt):
    column = COLUMNS[table]
    denied = psycopg.errors.InsufficientPrivilege
    with connect(application, application="tests") as conn, pytest.raises(denied) as error:
        conn.execute(attempt.format(table, column, column))

    assert "append-only" not in str(error.value)  # the missing privilege refuses it, not a trigger


def test_the_api_works_with_that_role(application):
    with Site.running(application, workers=1) as site:
        site.ticket()
        person = site.person()["id"]
        erased = site.client().post(f"/v1/users/{person}/erase")
        with connect(application, application="tests") as conn:
            roles = conn.execute(
                "SELECT DISTINCT usename FROM pg_stat_activity"
                " WHERE application_name LIKE 'ticketing-%' AND datname = current_database()"
            ).fetchall()

    assert erased.status_code == 200
    assert roles == [(APPLICATION,)]


def test_granting_twice_and_to_the_owner_changes_nothing(database, application, conn):
    def privileges():
        return conn.execute(
            "SELECT oid, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY oid"
        ).fetchall()

    before = privileges()

    grant_to_application(database, application)
    grant_to_application(database, database)

    assert len(before) > 10
    assert privileges() == before
