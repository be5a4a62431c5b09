"""How long this machine does not run a thread that wants to run."""

from __future__ import annotations

import threading
import time

TICK_SECONDS = 0.02
USUAL_SECONDS = 0.002  # by which a tick is late on an idle machine


class Pace:
    """A thread that sleeps TICK_SECONDS again and again. `late_seconds` is the sum of its delays so far."""

    def __init__(self) -> None:
        self.late_seconds = 0.0
        threading.Thread(target=self._run, daemon=True, name="pace").start()

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(TICK_SECONDS)
            self.late_seconds += max(0.0, time.monotonic() - began - TICK_SECONDS - USUAL_SECONDS)


pace = Pace()
