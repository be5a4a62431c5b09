"""Reads the ids of erased people from the statements outside the database: a restored backup lacks them."""

from __future__ import annotations

from collections.abc import Iterable

from infrastructure.storage.postgres import Connection, fetch_value
from notary.blocks import read_log_id, sql
from notary.statements import BadStatement, Reader, without_repeats


def erased_people(conn: Connection, lines: Iterable[str]) -> list[str]:
    """The ids of the erased people according to the statements of this log, in their order.

    Raises BadStatement when a line was altered after it was signed, or when the first line is not the first
    statement of this database: then it belongs to another log, or is forged.
    """
    reader = Reader(read_log_id(conn))
    first = fetch_value(conn, sql["statement_numbered"], {"number": 1}, default="")
    found: dict[str, None] = {}
    for line in without_repeats(lines):
        statement = reader.read(line)
        if statement.number == 1 and first and first != line:
            raise BadStatement("it is not the first statement of this database")
        if statement.kind == "erasure":
            found[str(statement.facts["user_id"])] = None
    return list(found)
