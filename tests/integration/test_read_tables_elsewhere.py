"""A process whose read tables are in another schema than `read` finds them with every kind of connection."""

import asyncio

import pytest
from psycopg import sql

from infrastructure.storage.postgres import connect, connect_async, make_pool
from infrastructure.storage.read_schema import ORDINARY, read_tables
from projections.schema import OWN

NUMBER = 4_711
QUERY = "SELECT position FROM read.projector_position"
COMPOSED = sql.SQL("SELECT position FROM read.{}").format(sql.Identifier("projector_position"))


@pytest.fixture(autouse=True)
def elsewhere(conn):
    """The read tables are renamed, and a table of another version has their name."""
    conn.execute(f"ALTER SCHEMA read RENAME TO {OWN}")
    conn.execute(f"UPDATE {OWN}.projector_position SET position = {NUMBER}")
    conn.execute("CREATE SCHEMA read; CREATE TABLE read.projector_position (position bigint)")
    read_tables.use(OWN)
    yield
    read_tables.use(ORDINARY)


def test_a_connection_finds_them(database):
    with connect(database, application="tests") as conn, conn.cursor(binary=True) as cursor:
        assert conn.execute(QUERY).fetchall() == [(NUMBER,)]
        assert cursor.execute(sql.SQL(QUERY)).fetchall() == [(NUMBER,)]
        assert cursor.execute(COMPOSED).fetchall() == [(NUMBER,)]
        assert list(cursor.stream(QUERY)) == [(NUMBER,)]
        with cursor.copy(f"COPY ({QUERY}) TO STDOUT (FORMAT text)") as copy:
            assert b"".join(map(bytes, copy)) == f"{NUMBER}\n".encode()
        cursor.executemany("UPDATE read.projector_position SET position = %s", [(1,), (2,)])
        assert conn.execute(QUERY).fetchall() == [(2,)]


def test_a_pool_finds_them(database):
    with make_pool(database, application="tests", max_size=1) as pool:
        assert pool.fetch(QUERY) == [(NUMBER,)]


def test_a_connection_for_asyncio_finds_them(database):
    async def read():
        async with await connect_async(database, application="tests") as conn:
            return await (await conn.execute(QUERY)).fetchall()

    assert asyncio.run(read()) == [(NUMBER,)]


def test_the_names_of_sessions_end_with_the_schema(database, conn):
    with connect(database, application="ticketing-projector") as other:
        ((name,),) = other.execute("SHOW application_name").fetchall()

    assert name.endswith(f"/{OWN}")
