"""Who was erased, as the signed statements outside the database tell: they outlive a restored backup."""

from __future__ import annotations

from collections.abc import Iterable

from infrastructure.storage.postgres import Connection
from notary.pages import read_log_id, sql
from notary.statements import BadStatement, Reader, without_repeats


def erased_people(conn: Connection, lines: Iterable[str]) -> list[str]:
    """The ids of the people that statements of this database's log say were erased, in that order.

    Raises BadStatement where a line is not as it was signed, or the first one is not the database's first:
    then it is another log's, or made up.
    """
    reader = Reader(read_log_id(conn))
    row = conn.execute(sql["statement_numbered"], {"number": 1}).fetchone()
    found: dict[str, None] = {}
    for line in without_repeats(lines):
        statement = reader.read(line)
        if statement.number == 1 and row is not None and row[0] != line:
            raise BadStatement("it is not the first statement of this database")
        if statement.kind == "erasure":
            found[str(statement.facts["user_id"])] = None
    return list(found)
