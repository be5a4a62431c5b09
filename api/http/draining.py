"""An event that is set when this worker begins to shut down; requests that wait for something then stop."""

from __future__ import annotations

import threading

draining = threading.Event()
