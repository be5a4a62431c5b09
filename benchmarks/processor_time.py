"""The processor time that each process of a system has used, and each of its sessions in PostgreSQL.

Processor time depends less on other load of the machine than the rate of requests does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import psutil

from infrastructure.storage.postgres import connect

CLIENTS, SERVER = "load generator", "PostgreSQL, background"
_SESSIONS = """
SELECT pid, datname = current_database(),
       coalesce(nullif(split_part(application_name, '/', 1), ''), 'without a name')
FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
"""
_COMMANDS = ("api", "projector", "webhook-dispatcher", "notary", "relay")


def read_processor_seconds(dsn: str) -> dict[str, float]:
    """The processor seconds so far, by the name of the process. `dsn` is the database of the system, whose
    processes are children of this one."""
    seconds: Counter[str] = Counter()
    with connect(dsn, application="benchmarks") as conn:
        for pid, is_session, application in conn.execute(_SESSIONS).fetchall():
            seconds[f"session of {application}" if is_session else SERVER] += _seconds_of(pid)
    for process in psutil.Process().children(recursive=True):
        if name := process_name(process):
            seconds[name] += _seconds_of(process.pid)
    return dict(seconds)


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The seconds that each process has used between two readings. A session that ended is not counted."""
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}


def _seconds_of(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def process_name(process: psutil.Process) -> str | None:
    """The process's part in the measurement; None for those that belong to no side."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return None
    text = " ".join(words)
    if "multiprocessing.forkserver" in text or "multiprocessing.resource_tracker" in text:
        return CLIENTS
    if "gunicorn" in text and "django" in text:
        return "django-helpdesk"
    return next((name for name in _COMMANDS if words[-1:] == [name]), None)
