"""The whole system on a database and with a role whose settings would break it."""

from __future__ import annotations

import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.storage.postgres import connect
from infrastructure.storage.roles import grant_to_application
from tests.support.hostile_settings import make_hostile
from tests.support.postgres import cloned_database
from tests.support.whole_system import expected_of, use_whole_system, whole_system

ROLE = "ticketing_hostile"


@pytest.fixture
def hostile(postgres, template):
    """The address of a database with hostile settings, for a role with hostile settings."""
    with cloned_database(postgres, template) as owner:
        dsn = make_conninfo(owner, user=ROLE, password="test")
        grant_to_application(owner, dsn)
        with connect(owner, application="tests") as conn:
            make_hostile(conn, "DATABASE", role=ROLE)
            make_hostile(conn, "ROLE", role=ROLE)
        yield dsn


def test_every_process_works_whatever_settings_the_database_and_the_role_have(hostile, tmp_path):
    log = tmp_path / "output.log"
    with whole_system(hostile, log) as site:
        found = use_whole_system(site)

    assert found == expected_of(found)
    assert [line for line in log.read_text().splitlines() if '"level":"error"' in line] == []
