"""Ending what a killed PostgreSQL leaves behind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

KILL_SECONDS = 5


def kill_left_behind(data_dir: Path) -> None:
    """Kill the processes of a server whose postmaster is gone, and wait for their end.

    Most notice its end and end by themselves. Until all have, no new server starts: they share its memory.
    """
    left = [process for process in psutil.process_iter() if _works_in(data_dir, process)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_SECONDS)


def _works_in(data_dir: Path, process: psutil.Process) -> bool:
    """Whether it is a process of the server: all of them have its data directory as their own directory."""
    try:
        return bool(process.name() == "postgres" and process.cwd() == str(data_dir))
    except psutil.Error:
        return False
