"""Kills the processes that a killed PostgreSQL server leaves behind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

KILL_SECONDS = 5


def kill_left_behind(data_dir: Path) -> None:
    """Kill the processes of a server whose postmaster has ended, and wait until they have ended.

    They hold the shared memory of the server: PostgreSQL does not start again while one of them runs.
    """
    left = [process for process in psutil.process_iter() if _works_in(data_dir, process)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_SECONDS)


def _works_in(data_dir: Path, process: psutil.Process) -> bool:
    """Whether the process belongs to the server: its working directory is the data directory."""
    try:
        return bool(process.name() == "postgres" and process.cwd() == str(data_dir))
    except psutil.Error:
        return False
