"""Whether this worker was told to stop: what only waits for something then stops waiting."""

from __future__ import annotations

import threading

draining = threading.Event()
