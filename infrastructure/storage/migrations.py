"""Compares the migrations of this program with those of a database: whether they can work with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from infrastructure.storage.migration_files import MIGRATIONS, PROGRAM, Migration, read_migrations
from infrastructure.storage.postgres import Connection, named_queries

sql = named_queries(Path(__file__).parent / "sql" / "migrations.sql")


class NewerDatabase(Exception):
    """A newer program has changed the database, and this one cannot work with it; the message names what was
    changed and the remedy."""

    def __init__(self, unknown: Sequence[str], problem: str) -> None:
        self.unknown = unknown
        super().__init__(
            f"{problem} Nothing was changed. Use that program or a later one. Migrations only go forward: to"
            " return to this program, restore a backup from before the upgrade."
        )


class Applied(NamedTuple):
    """What a database has. `finished` and `begun` are names of migrations; `least_programs` has those of its
    contractions with the lowest number of programs that work after them. `listed` is what programs before
    0070 see."""

    finished: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()
    least_programs: Mapping[str, int] = MappingProxyType({})
    listed: frozenset[str] = frozenset()

    @property
    def is_new(self) -> bool:
        return not self.finished and not self.begun


class _Row(NamedTuple):
    name: str
    least_program: int | None
    is_finished: bool


def read_applied(conn: Connection) -> Applied:
    """The migrations of a database; none of a database without tables."""
    ((has_list, has_changes),) = conn.execute(sql["find_tables"]).fetchall()
    listed = [_Row(*row) for row in conn.execute(sql["read_migrations"])] if has_list else []
    changes = [_Row(*row) for row in conn.execute(sql["read_changes"])] if has_changes else []
    begun = {row.name for row in changes if not row.is_finished}
    names = {row.name for row in (*listed, *changes)}
    return Applied(
        finished=frozenset(names - begun),
        begun=frozenset(begun),
        least_programs={row.name: row.least_program for row in changes if row.least_program},
        listed=frozenset(row.name for row in listed if row.name not in {one.name for one in changes}),
    )


def pending_migrations(conn: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """The names of the migrations that this program needs and that the database lacks, in order.

    Contractions are not among them: a program works before and after its own."""
    return [one.name for one in pending(read_migrations(folder), read_applied(conn)) if not _removes(one)]


def pending_contractions(conn: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """The names of the contractions that the database lacks, in order."""
    return [one.name for one in pending(read_migrations(folder), read_applied(conn)) if _removes(one)]


def pending(migrations: Sequence[Migration], applied: Applied) -> list[Migration]:
    """Those of the migrations that are not applied."""
    return [one for one in migrations if one.name not in applied.finished]


def require_usable(conn: Connection, program: int = PROGRAM, folder: Path = MIGRATIONS) -> None:
    """Raise NewerDatabase if a newer program has removed what the program with that number uses.

    Additions of a newer program do not matter."""
    _require_usable(read_applied(conn), program, folder)


def find_problem(conn: Connection) -> str | None:
    """Why this program cannot work with the database, and what to do; None if it can."""
    applied = read_applied(conn)
    try:
        _require_usable(applied, PROGRAM, MIGRATIONS)
    except NewerDatabase as refusal:
        return str(refusal)
    missing = [one.name for one in pending(read_migrations(), applied) if not _removes(one)]
    return f"Not applied: {', '.join(missing)}. Run `ticketing migrate`." if missing else None


def _require_usable(applied: Applied, program: int, folder: Path) -> None:
    removed = sorted(name for name, least in applied.least_programs.items() if least > program)
    if removed:
        least = max(applied.least_programs.values())
        raise NewerDatabase(
            removed,
            f"The database was contracted by a newer program ({', '.join(removed)}): it needs a program with"
            f" the migration {least:04d} or a later one, and the newest migration of this program is"
            f" {program:04d}.",
        )
    unknown = sorted(applied.listed - {one.name for one in read_migrations(folder)})
    if unknown:
        raise NewerDatabase(
            unknown,
            "The database was migrated by a newer program: it has migrations that this program does not have"
            f" ({', '.join(unknown)}).",
        )


def _removes(migration: Migration) -> bool:
    return migration.phase == "contract"
