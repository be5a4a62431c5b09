"""The threads that every process that follows the log runs beside its work."""

from __future__ import annotations

import threading
from functools import partial

from api.monitoring.lag_samples import sample_regularly
from infrastructure.process.stalls import watch_stalls
from infrastructure.process.threads import start_watched


def start_watches(dsn: str, has_kafka: bool, stop: threading.Event) -> None:
    """Log sessions that stall the followers, and store samples of their lags, until `stop` is set."""
    start_watched(partial(watch_stalls, dsn, stop), name="stalls")
    start_watched(partial(sample_regularly, dsn, has_kafka, stop), name="lags")
