"""A verification in the background: `python -m pages.panel.verification ID` checks the log against what was
chained and signed, compares the read tables with it, and writes what it finds into panel.verifications.

It is a process of its own, so that requests need not share a worker with it. It ends with the API process
that started it, and its lock with it: that is how others know that it still runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from infrastructure.keys.vault import load_vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.logs import configure_logs
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.postgres import Connection, Pool, connect, named_queries
from notary.places import StatementFile
from notary.verification import verify_log
from projections.comparison import Difference
from projections.rebuild import RebuildRunning
from projections.verification import NothingToVerify, verify

RUN_KEY = 7_305_877  # the session advisory lock of the one verification of this kind under way
NOTE_EVERY_SECONDS = 0.5
TURN_SECONDS = 5.0
LOOK_SECONDS = 0.05
STARTS_WITHIN = timedelta(seconds=15)
LISTED_RUNS = 10
LISTED_FINDINGS = 100

RunState = Literal["running", "clean", "different", "failed", "interrupted"]

_sql = named_queries(Path(__file__).parent / "sql" / "verifications.sql")
_encode = msgspec.json.Encoder().encode
_differences = msgspec.json.Decoder(list[Difference])
_started: list[subprocess.Popen[bytes]] = []  # kept until they have ended, so that none stays a zombie

log = structlog.get_logger()


class Run(msgspec.Struct, frozen=True):
    """One verification. `differences` counts what is not as it should be, in the log and in the read
    tables; the first of them are `listed`, those of the log under the table name `log`."""

    id: str
    started_at: datetime
    started_by: str
    position: int
    log_end: int
    finished_at: datetime | None
    events: int | None
    seconds: float | None
    differences: int | None
    listed: list[Difference]
    problem: str | None
    is_alive: bool

    @property
    def state(self) -> RunState:
        if self.finished_at is None:
            return "running" if self.is_alive else "interrupted"
        if self.problem is not None:
            return "failed"
        return "different" if self.differences else "clean"


def start(pool: Pool, run_id: str, user_id: str) -> None:
    """Begin a verification in the background. The same id begins nothing twice."""
    with pool.connection() as conn:
        parameters = {"id": run_id, "at": datetime.now(UTC), "by": user_id}
        if not conn.execute(_sql["insert_run"], parameters).rowcount:
            return
    _started[:] = [process for process in _started if process.poll() is None]
    command = [sys.executable, "-m", "pages.panel.verification", run_id]
    _started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))


def list_runs(pool: Pool) -> list[Run]:
    """The last LISTED_RUNS, newest first."""
    with pool.connection() as conn:
        (is_locked,) = conn.execute(_sql["is_running"], {"key": RUN_KEY}).fetchone() or (False,)
        rows = conn.execute(_sql["list_runs"], {"limit": LISTED_RUNS}).fetchall()
    return [_run(row, is_locked=bool(is_locked) and index == 0) for index, row in enumerate(rows)]


def main(run_id: str) -> None:
    """Carry the verification out."""
    os.nice(10)
    settings = load_settings()
    configure_logs(settings.log_level)
    dsn = settings.database_url or ""
    with connect(dsn, application="ticketing-verification") as conn:
        if not _take_turn(conn):
            _fail(conn, run_id, "Another verification was under way.")
            return
        try:
            notes = _Notes(conn, run_id)
            altered = _altered(dsn, settings, notes)
            report = verify(dsn, load_vault(settings), notes.show)
        except (RebuildRunning, NothingToVerify) as refusal:
            _fail(conn, run_id, str(refusal))
        except Exception as error:
            log.error("verification_failed", run_id=run_id, exc_info=error)
            _fail(conn, run_id, f"It broke off: {type(error).__name__}. The log of the API says more.")
        else:
            outcome = {
                "id": run_id,
                "position": report.position,
                "events": report.events,
                "seconds": report.seconds,
                "differences": report.count + len(altered),
                "listed": _encode([*altered[:LISTED_FINDINGS], *report.differences]).decode(),
            }
            conn.execute(_sql["note_outcome"], outcome)
            log.info("verified", run_id=run_id, position=report.position, differences=outcome["differences"])


def _take_turn(conn: Connection) -> bool:
    """Be the one verification under way. The one before may have told its outcome and not be gone yet."""
    deadline = time.monotonic() + TURN_SECONDS
    while not conn.execute(_sql["take_turn"], {"key": RUN_KEY}).fetchall()[0][0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _run(row: Any, *, is_locked: bool) -> Run:
    """The row of a run; `is_locked` says that its lock is held, which only the newest can hold."""
    started_at, listed = row[1], row[9]
    is_young = started_at > datetime.now(UTC) - STARTS_WITHIN
    found = _differences.decode(listed) if listed else []
    return Run(*(*row[:9], found, row[10], is_locked or is_young))


class _Notes:
    """Writes down now and then how far the verification is."""

    def __init__(self, conn: Connection, run_id: str) -> None:
        self._conn = conn
        self._run_id = run_id
        self._parent = os.getppid()
        self._noted_at = 0.0

    def show(self, position: int, end: int) -> None:
        if os.getppid() != self._parent:
            sys.exit("The process that started this verification is gone.")
        if time.monotonic() > self._noted_at + NOTE_EVERY_SECONDS:
            parameters = {"id": self._run_id, "position": position, "end": end}
            self._conn.execute(_sql["note_progress"], parameters)
            self._noted_at = time.monotonic()


def _altered(dsn: str, settings: Settings, notes: _Notes) -> list[Difference]:
    """Where the log is not what the notary chained, and signed in its file if this machine has that."""
    file = StatementFile.of(settings)
    with connect(dsn, application="ticketing-verification", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        report = verify_log(conn, {str(file.path): file.lines()}, notes.show)
    return [
        Difference(table="log", id=str(finding.position or "-"), columns=(), problem=finding.problem)
        for finding in report.findings
    ]


def _fail(conn: Connection, run_id: str, problem: str) -> None:
    conn.execute(_sql["note_problem"], {"id": run_id, "problem": problem})


if __name__ == "__main__":
    main(sys.argv[1])
