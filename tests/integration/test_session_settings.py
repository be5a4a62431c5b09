"""Connections set every session setting that the code relies on, whatever the database and role have."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.process.failures import describe_error
from infrastructure.storage.postgres import connect, connect_async, make_pool
from infrastructure.storage.session_settings import BASE, NEWER, REQUEST_LIMITS
from projections.runner import connect_projector
from tests.support.hostile_settings import HOSTILE, make_hostile

NAMES = [*BASE, *NEWER]
SHOW = "SELECT name, current_setting(name, true) FROM unnest(%s::text[]) AS s (name)"


@pytest.fixture(params=["DATABASE", "ROLE IN DATABASE"])
def hostile(request, database, conn):
    """A database in which every setting has a value that would break the system."""
    make_hostile(conn, request.param, role=conn.info.user)
    return database


def settings_of(conn):
    shown = dict(conn.execute(SHOW, [NAMES]).fetchall())
    encoding = conn.execute("SHOW client_encoding").fetchone()
    return {name: shown[name] for name in names_at(conn)}, encoding


def names_at(conn):
    return NAMES if conn.info.server_version >= 170_000 else BASE


def expected(conn, **others):
    return {name: (BASE | NEWER | others)[name] for name in names_at(conn)}, ("UTF8",)


def test_a_connection_has_its_own_settings(hostile):
    with connect(hostile, application="tests") as conn:
        assert settings_of(conn) == expected(conn)


def test_a_pool_has_its_own_settings_and_the_limits_of_requests(hostile):
    with make_pool(hostile, application="tests", max_size=2) as pool, pool.connection() as conn:
        assert settings_of(conn) == expected(conn, **REQUEST_LIMITS)


def test_commits_that_wait_until_replicas_show_them_stay_so(database, conn):
    make_hostile(conn, "DATABASE", role="", settings={"synchronous_commit": "remote_apply"})

    with connect(database, application="tests") as opened:
        assert opened.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)
    with connect_projector(database) as opened:
        assert opened.execute("SHOW synchronous_commit").fetchone() == ("off",)


def test_the_connection_of_a_follower_has_its_own_settings(hostile):
    with connect_projector(hostile) as conn:
        shown, _ = settings_of(conn)

    assert shown["default_transaction_isolation"] == "read committed"
    assert (shown["search_path"], shown["synchronous_commit"], shown["statement_timeout"]) == (
        "read",
        "off",
        "1min",
    )


def test_a_connection_of_asyncio_has_its_own_settings(hostile):
    async def show():
        async with await connect_async(hostile, application="tests") as conn:
            rows = await (await conn.execute(SHOW, [NAMES])).fetchall()
            return dict(rows), expected(conn)[0]

    shown, wanted = asyncio.run(show())

    assert {name: shown[name] for name in wanted} == wanted


def test_the_environment_and_the_options_of_the_address_do_not_change_the_settings(database, monkeypatch):
    for name, value in (
        ("PGTZ", "Asia/Kathmandu"),
        ("PGDATESTYLE", "German"),
        ("PGCLIENTENCODING", "LATIN1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGOPTIONS", "-c bytea_output=escape")
    address = make_conninfo(
        database, options="-c extra_float_digits=0 -c work_mem=5MB -c synchronous_commit=off"
    )

    with connect(address, application="tests") as conn:
        assert settings_of(conn) == expected(conn)
        assert conn.execute("SHOW work_mem").fetchone() == ("5MB",)


def test_a_read_only_database_stays_read_only(database, conn):
    make_hostile(conn, "DATABASE", role="", settings={"default_transaction_read_only": "on"})

    with connect(database, application="tests") as opened:
        assert opened.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_every_setting_is_tested_with_another_value():
    assert HOSTILE.keys() - {"client_encoding"} == BASE.keys()
    assert [name for name, value in HOSTILE.items() if value == BASE.get(name)] == []


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT 'jane@example.com'::integer", "invalid input syntax for type integer"),
        (
            "INSERT INTO access.secrets VALUES ('Jane')",
            'null value in column "value" of relation "secrets" violates not-null constraint',
        ),
        ("DO $$ BEGIN RAISE 'broken' USING DETAIL = 'Jane'; END $$", "broken"),
    ],
)
def test_the_description_of_an_error_of_postgresql_has_its_message_without_values(conn, statement, text):
    with pytest.raises(psycopg.Error) as error:
        conn.execute(statement)

    assert describe_error(error.value) == (
        f"{type(error.value).__name__}: {text} (SQLSTATE {error.value.sqlstate})"
    )
