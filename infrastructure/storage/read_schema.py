"""The schema of the read tables that this process uses.

It is `read`, which is the name that the statements have. During an upgrade that changes the read tables,
those of the new version are in another schema, so that processes of both versions work
(projections/live_tables.py). A process of the new version replaces the name as it sends a statement.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

ORDINARY = "read"
_QUALIFIED = re.compile(rf'\b{ORDINARY}\.(?=[a-z"])')  # composed names of tables are quoted
_MOST_REMEMBERED = 2_000


class ReadTables:
    """`schema` is chosen once, before the process serves, and kept."""

    def __init__(self) -> None:
        self.schema = ORDINARY
        self._replaced: dict[str, str] = {}

    def use(self, schema: str) -> None:
        self.schema = schema
        self._replaced.clear()

    @property
    def suffix(self) -> str:
        """What the names of sessions end with."""
        return "" if self.schema == ORDINARY else f"/{self.schema}"

    def replace_in(self, statement: str) -> str:
        """The statement with the name of the schema."""
        replaced = self._replaced.get(statement)
        if replaced is None:
            replaced = _QUALIFIED.sub(f"{self.schema}.", statement)
            if len(self._replaced) < _MOST_REMEMBERED:
                self._replaced[statement] = replaced
        return replaced


read_tables = ReadTables()


class _FindsReadTables:
    """Methods of a cursor, synchronous or not, whose statements find the read tables of this process."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        return super().execute(self._find(query), *args, **options)  # type: ignore[misc]

    def executemany(self, query: Any, *args: Any, **options: Any) -> Any:
        return super().executemany(self._find(query), *args, **options)  # type: ignore[misc]

    def stream(self, query: Any, *args: Any, **options: Any) -> Any:
        return super().stream(self._find(query), *args, **options)  # type: ignore[misc]

    def copy(self, statement: Any, *args: Any, **options: Any) -> Any:
        return super().copy(self._find(statement), *args, **options)  # type: ignore[misc]

    def _find(self, query: Any) -> Any:
        if read_tables.schema == ORDINARY:
            return query
        return read_tables.replace_in(query.as_string() if isinstance(query, sql.Composable) else query)


class ReadTablesCursor(_FindsReadTables, psycopg.Cursor[TupleRow]):
    """The cursor of connections."""


class ReadTablesAsyncCursor(_FindsReadTables, psycopg.AsyncCursor[TupleRow]):
    """The cursor of connections for asyncio."""
