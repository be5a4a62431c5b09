"""Keeping the embedded PostgreSQL of `ticketing up` running."""

from __future__ import annotations

import subprocess
import time

from cli.output import note
from cli.supervisor import delay_after
from infrastructure.storage.disk_space import Reserve
from infrastructure.storage.embedded import EmbeddedFailed, EmbeddedServer

LOOK_EVERY_SECONDS = 1.0


class DatabaseKeeper:
    """Starts the server again when it is gone: killed for want of memory, say. The processes that use it
    find it again by themselves. When the disk is full, `reserve` is deleted to make space for the start."""

    def __init__(self, server: EmbeddedServer, reserve: Reserve) -> None:
        self._server = server
        self._reserve = reserve
        self._failures = 0
        self._look_at = 0.0

    def keep_running(self) -> bool:
        """Look whether it runs, at most once a second, and start it again; a start that fails is repeated
        later. Return whether it has just been started."""
        if time.monotonic() < self._look_at:
            return False
        has_started = False
        delay = LOOK_EVERY_SECONDS
        if self._server.is_running():
            self._failures = 0
            self._reserve.keep()
        else:
            note(f"PostgreSQL ended; starting it again. Its log: {self._server.data_dir / 'server.log'}")
            if self._reserve.release():
                note("The disk is nearly full: PostgreSQL starts in the room that was kept for that.")
            try:
                self._server.start_again()
                has_started = True
            except (EmbeddedFailed, OSError, subprocess.SubprocessError) as error:
                self._failures += 1
                delay = delay_after(self._failures)
                note(f"PostgreSQL does not start: {error}\nTrying again in {delay:g} s.")
        self._look_at = time.monotonic() + delay
        return has_started
