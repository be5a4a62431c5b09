"""The migrations of this program, and the phase that each declares in its first line.

    -- phase: expand                             an addition, with which programs before it work too
    -- phase: expand, concurrently               the same, with statements that cannot run in a transaction
    -- phase: contract, for programs from 0071   a removal, with which only programs from that number work

The number of a program is that of its newest migration. docs/decisions/0033-upgrades.md has the reasons.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

MIGRATIONS = Path(__file__).parent.parent.parent / "migrations"
FIRST_PROGRAM = (
    50  # v0.1.0; the migrations up to this number declare no phase, and need all processes stopped
)
_PHASE = re.compile(
    r"-- phase: (?:(?P<expand>expand)(?P<concurrently>, concurrently)?"
    r"|contract, for programs from (?P<least>\d{4}))"
)
_CONCURRENT = re.compile(
    r"(?:(?:CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<name>\w+) ON (?P<schema>\w+)\.\w+ .+)"
    r"|DROP INDEX CONCURRENTLY IF EXISTS \w+\.\w+|ALTER TABLE \w+\.\w+ VALIDATE CONSTRAINT \w+)",
    re.DOTALL,
)


class InvalidMigration(Exception):
    """A file of migrations cannot be used; the message names it and what is missing."""


class ConcurrentStatement(NamedTuple):
    """A statement that can be repeated, and the schema and name of the index that it creates, if any."""

    text: str
    schema: str | None
    created: str | None


class Migration(NamedTuple):
    """A file. `least_program`: the lowest number of programs that work after it, if that is not any."""

    name: str
    phase: Literal["before phases", "expand", "contract"]
    is_concurrent: bool
    least_program: int
    text: str

    @property
    def number(self) -> int:
        return int(self.name[:4])

    def concurrent_statements(self) -> list[ConcurrentStatement]:
        """The statements of a migration that is declared as concurrent. Raises InvalidMigration."""
        lines = [line for line in self.text.splitlines() if not line.startswith("--")]
        statements = filter(None, (part.strip() for part in "\n".join(lines).split(";")))
        return [self._concurrent(statement) for statement in statements]

    def _concurrent(self, statement: str) -> ConcurrentStatement:
        matched = _CONCURRENT.fullmatch(statement)
        if matched is None:
            raise InvalidMigration(
                f"{self.name}: a concurrent migration may only CREATE INDEX CONCURRENTLY IF NOT EXISTS, DROP"
                f" INDEX CONCURRENTLY IF EXISTS and VALIDATE CONSTRAINT, with names of schemas: {statement}"
            )
        return ConcurrentStatement(statement, matched["schema"], matched["name"])


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The migrations in a folder, in order. Raises InvalidMigration."""
    return _read_own() if folder == MIGRATIONS else _read_all(folder)


@cache
def _read_own() -> list[Migration]:
    return _read_all(MIGRATIONS)


def _read_all(folder: Path) -> list[Migration]:
    return [_read(path) for path in sorted(folder.glob("*.sql"))]


def _read(path: Path) -> Migration:
    text = path.read_text()
    matched = _PHASE.fullmatch(text.partition("\n")[0])
    if matched is None:
        if int(path.name[:4]) > FIRST_PROGRAM:
            raise InvalidMigration(
                f"{path.name}: its first line does not declare a phase, as in `-- phase: expand`"
            )
        return Migration(path.name, "before phases", False, 0, text)
    if matched["expand"]:
        return Migration(path.name, "expand", bool(matched["concurrently"]), 0, text)
    return Migration(path.name, "contract", False, int(matched["least"]), text)


PROGRAM = max(int(path.name[:4]) for path in MIGRATIONS.glob("*.sql"))  # the number of this program
