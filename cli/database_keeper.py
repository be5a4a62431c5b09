"""Keeps the embedded PostgreSQL of `ticketing up` running."""

from __future__ import annotations

import subprocess
import time

from cli.output import note
from cli.supervisor import delay_after
from infrastructure.storage.disk_space import Reserve
from infrastructure.storage.embedded import EmbeddedFailed, EmbeddedServer

CHECK_SECONDS = 1.0


class DatabaseKeeper:
    """Restarts the server when it has ended, for example because the out-of-memory killer killed it.

    The processes that use it reconnect by themselves. If the disk is full, `reserve` is deleted first.
    """

    def __init__(self, server: EmbeddedServer, reserve: Reserve) -> None:
        self._server = server
        self._reserve = reserve
        self._failures = 0
        self._check_at = 0.0

    def keep_running(self) -> bool:
        """Check at most once a second whether the server runs, and start it if not. A start that fails is
        repeated later. Return whether the server has just been started."""
        if time.monotonic() < self._check_at:
            return False
        has_started = False
        delay = CHECK_SECONDS
        if self._server.is_running():
            self._failures = 0
            self._reserve.create()
        else:
            note(f"PostgreSQL ended; starting it again. Its log: {self._server.data_dir / 'server.log'}")
            if self._reserve.release():
                note("The disk is nearly full: a reserved file was deleted so that PostgreSQL can start.")
            try:
                self._server.start_again()
                has_started = True
            except (EmbeddedFailed, OSError, subprocess.SubprocessError) as error:
                self._failures += 1
                delay = delay_after(self._failures)
                note(f"PostgreSQL does not start: {error}\nTrying again in {delay:g} s.")
        self._check_at = time.monotonic() + delay
        return has_started
