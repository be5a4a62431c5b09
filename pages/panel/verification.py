"""A verification in the background: `python -m pages.panel.verification ID`.

It checks the chain and the signatures of the log, compares the read tables with the log, and writes its
findings to panel.verifications. It is a separate process, so that it does not slow down the requests of a
worker. It ends when the API process that started it ends. It holds a lock while it runs, so that other
processes can find out whether it runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

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
from projections.old_tables import TablesInUse
from projections.rebuild import RebuildRunning
from projections.verification import NothingToVerify, verify

RUN_KEY = 7_305_877  # session advisory lock; one verification of this kind runs at a time
SAVE_EVERY_SECONDS = 0.5
LOCK_SECONDS = 5.0
POLL_SECONDS = 0.05
STARTS_WITHIN = timedelta(seconds=15)
LISTED_RUNS = 10
LISTED_FINDINGS = 100

RunState = Literal["running", "clean", "different", "failed", "interrupted"]

_sql = named_queries(Path(__file__).parent / "sql" / "verifications.sql")
_encode = msgspec.json.Encoder().encode
_differences = msgspec.json.Decoder(list[Difference])
_started: list[subprocess.Popen[bytes]] = []  # polled at each start, to reap ended ones

log = structlog.get_logger()


class Run(msgspec.Struct):
    """One verification. `differences` counts the findings in the log and in the read tables; `listed` has the
    first of them, those in the log under the table name `log`."""

    id: str
    started_at: datetime
    started_by: str
    position: int
    log_end: int
    finished_at: datetime | None
    events: int | None
    seconds: float | None
    differences: int | None
    problem: str | None
    findings_json: str | None
    is_locked: bool = False  # whether it holds the lock

    @property
    def listed(self) -> list[Difference]:
        return _differences.decode(self.findings_json) if self.findings_json else []

    @property
    def is_alive(self) -> bool:
        """Whether its process runs. It may not hold the lock yet when it has just been started."""
        return self.is_locked or self.started_at > datetime.now(UTC) - STARTS_WITHIN

    @property
    def state(self) -> RunState:
        if self.finished_at is None:
            return "running" if self.is_alive else "interrupted"
        if self.problem is not None:
            return "failed"
        return "different" if self.differences else "clean"


def start(pool: Pool, run_id: str, user_id: str) -> None:
    """Start a verification in the background, once for each id."""
    with pool.connection() as conn:
        parameters = {"id": run_id, "at": datetime.now(UTC), "by": user_id}
        if not conn.execute(_sql["insert_run"], parameters).rowcount:
            return
    _started[:] = [process for process in _started if process.poll() is None]
    command = [sys.executable, "-m", "pages.panel.verification", run_id]
    _started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))


def list_runs(pool: Pool) -> list[Run]:
    """The last LISTED_RUNS verifications, newest first."""
    with pool.connection() as conn:
        ((is_locked,),) = conn.execute(_sql["is_running"], {"key": RUN_KEY}).fetchall()
        runs = [Run(*row) for row in conn.execute(_sql["list_runs"], {"limit": LISTED_RUNS})]
    for newest in runs[:1]:  # only this one can hold the lock
        newest.is_locked = is_locked
    return runs


def main(run_id: str) -> None:
    """Run the verification with that id."""
    os.nice(10)
    settings = load_settings()
    configure_logs(settings.log_level)
    dsn = settings.direct_url
    with connect(dsn, application="ticketing-verification") as conn:
        if not _take_lock(conn):
            _fail(conn, run_id, "Another verification is running. Start a new one when it has ended.")
            return
        try:
            writer = _ProgressWriter(conn, run_id)
            findings = _verify_log(dsn, settings, writer)
            report = verify(dsn, load_vault(settings), writer.show)
        except (RebuildRunning, TablesInUse, NothingToVerify) as refusal:
            _fail(conn, run_id, str(refusal))
        except Exception as error:
            log.error("verification_failed", run_id=run_id, exc_info=error)
            _fail(conn, run_id, f"It failed with {type(error).__name__}. See the log of the API for details.")
        else:
            outcome = {
                "id": run_id,
                "position": report.position,
                "events": report.events,
                "seconds": report.seconds,
                "differences": report.count + len(findings),
                "listed": _encode([*findings[:LISTED_FINDINGS], *report.differences]).decode(),
            }
            conn.execute(_sql["save_outcome"], outcome)
            log.info("verified", run_id=run_id, position=report.position, differences=outcome["differences"])


def _take_lock(conn: Connection) -> bool:
    """Take the lock; return whether it was free. Waits up to LOCK_SECONDS, because an earlier verification
    saves its outcome before it releases the lock."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        ((is_taken,),) = conn.execute(_sql["take_lock"], {"key": RUN_KEY}).fetchall()
        if is_taken or time.monotonic() > deadline:
            return bool(is_taken)
        time.sleep(POLL_SECONDS)


class _ProgressWriter:
    """Saves the progress of the verification, at most every SAVE_EVERY_SECONDS."""

    def __init__(self, conn: Connection, run_id: str) -> None:
        self._conn = conn
        self._run_id = run_id
        self._parent = os.getppid()
        self._saved_at = 0.0

    def show(self, position: int, end: int) -> None:
        if os.getppid() != self._parent:
            sys.exit("The process that started this verification has ended.")
        if time.monotonic() > self._saved_at + SAVE_EVERY_SECONDS:
            parameters = {"id": self._run_id, "position": position, "end": end}
            self._conn.execute(_sql["save_progress"], parameters)
            self._saved_at = time.monotonic()


def _verify_log(dsn: str, settings: Settings, writer: _ProgressWriter) -> list[Difference]:
    """The differences of the log from its chain and, if this machine has it, from the notary's signed
    file."""
    file = StatementFile.of(settings)
    with connect(dsn, application="ticketing-verification", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        report = verify_log(conn, {str(file.path): file.lines()}, writer.show)
    return [
        Difference(table="log", id=str(finding.position or "-"), columns=(), problem=finding.problem)
        for finding in report.findings
    ]


def _fail(conn: Connection, run_id: str, problem: str) -> None:
    conn.execute(_sql["save_problem"], {"id": run_id, "problem": problem})


if __name__ == "__main__":
    main(sys.argv[1])
