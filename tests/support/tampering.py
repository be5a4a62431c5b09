"""Manipulations of the log that an owner of the database could make. Each is one function."""

from __future__ import annotations

import random
from collections.abc import Callable

from infrastructure.storage.postgres import Connection
from notary import merkle
from notary.blocks import Block, Row, marks_of, read_log_id, sql

Where = int | None  # the position that verification must report; None: any position


def unprotect(conn: Connection) -> None:
    """Disable the triggers, as the owner of the tables can."""
    for table in ("es.stored_events", "notary.pages", "notary.statements"):
        conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")


def flip_a_byte(conn: Connection, chance: random.Random) -> Where:
    position, state = _any_event(conn, chance)
    changed = bytearray(state)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    _set_state(conn, position, bytes(changed))
    return position


def delete(conn: Connection, chance: random.Random) -> Where:
    position, _ = _any_event(conn, chance)
    conn.execute("DELETE FROM es.stored_events WHERE notification_id = %s", [position])
    return position


def insert(conn: Connection, chance: random.Random) -> Where:
    """Insert an event into a gap of the sequence, or before the first event."""
    _, state = _any_event(conn, chance)
    free = conn.execute(
        "SELECT g FROM generate_series(0, (SELECT max(last_position) FROM notary.pages)) g"
        " WHERE NOT EXISTS (SELECT FROM es.stored_events WHERE notification_id = g)"
    ).fetchall()
    (at,) = chance.choice(free)
    conn.execute("INSERT INTO es.stored_events VALUES ('forged', 1, 'ticket.opened', %s, %s)", [state, at])
    return at


def swap(conn: Connection, chance: random.Random) -> Where:
    """Swap the contents of two events."""
    first, second = sorted(_any_event(conn, chance) for _ in range(2))
    while first[1] == second[1]:
        first, second = sorted(_any_event(conn, chance) for _ in range(2))
    _set_state(conn, first[0], second[1])
    _set_state(conn, second[0], first[1])
    return first[0]


def truncate_the_tail(conn: Connection, chance: random.Random) -> Where:
    """Delete the last events, and with chance 1/2 also their blocks and checkpoints."""
    position, _ = _any_event(conn, chance)
    conn.execute("DELETE FROM es.stored_events WHERE notification_id >= %s", [position])
    if chance.random() < 0.5:
        conn.execute("DELETE FROM notary.pages WHERE last_position >= %s", [position])
        conn.execute("DELETE FROM notary.statements WHERE position >= %s", [position])
        return None
    return position


def rechain(conn: Connection, chance: random.Random) -> Where:
    """Alter an event and recompute every block from there on, so that the database is consistent again."""
    position, state = _any_event(conn, chance)
    _set_state(conn, position, state.replace(b'"', b"'", 1))
    chain, reached = merkle.first_link(read_log_id(conn)), -1
    with conn.cursor(binary=True) as cur:
        blocks = [
            Block(*row) for row in cur.execute(sql["blocks_after"], {"number": 0, "limit": None}).fetchall()
        ]
        for block in blocks:
            window = {"after": reached, "last": block.last_position, "limit": None}
            rows = [Row(*row) for row in cur.execute(sql["read_events"], window).fetchall()]
            leaves = [row.leaf for row in rows]
            chain = block.link(chain, merkle.root(leaves))
            conn.execute(
                "UPDATE notary.pages SET leaf_marks = %s, root = %s, chain = %s WHERE number = %s",
                [marks_of(leaves), merkle.root(leaves), chain, block.number],
            )
            reached = block.last_position
    return None


def change_a_read_row(conn: Connection, chance: random.Random) -> tuple[str, str]:
    """Change one value in one row; return its table and id."""
    table, column = chance.choice(
        [("tickets", "title"), ("tickets", "status"), ("users", "email"), ("properties", "city")]
    )
    row = conn.execute(
        f"UPDATE read.{table} SET {column} = {column} || 'x'"
        f" WHERE id = (SELECT id FROM read.{table} ORDER BY md5(id || %s) LIMIT 1) RETURNING id",
        [str(chance.random())],
    ).fetchone()
    assert row is not None
    return table, row[0]


IN_THE_LOG: dict[str, Callable[[Connection, random.Random], Where]] = {
    "flip a byte": flip_a_byte,
    "delete": delete,
    "insert": insert,
    "swap": swap,
    "truncate the tail": truncate_the_tail,
    "re-chain": rechain,
}


def change_a_checkpoint(line: str, chance: random.Random) -> str:
    """Replace one character of a signed line."""
    at = chance.randrange(len(line))
    other = chance.choice([one for one in "0123456789abcdefXYZ" if one != line[at]])
    return line[:at] + other + line[at + 1 :]


def _any_event(conn: Connection, chance: random.Random) -> tuple[int, bytes]:
    """One of the events that blocks cover."""
    row = conn.execute(
        "SELECT notification_id, state FROM es.stored_events"
        " WHERE notification_id <= (SELECT max(last_position) FROM notary.pages)"
        " ORDER BY notification_id OFFSET %s LIMIT 1",
        [chance.randrange(_count(conn))],
    ).fetchone()
    assert row is not None
    return row[0], bytes(row[1])


def _count(conn: Connection) -> int:
    return conn.execute(
        "SELECT count(*) FROM es.stored_events"
        " WHERE notification_id <= (SELECT max(last_position) FROM notary.pages)"
    ).fetchall()[0][0]


def _set_state(conn: Connection, position: int, state: bytes) -> None:
    conn.execute("UPDATE es.stored_events SET state = %s WHERE notification_id = %s", [state, position])
