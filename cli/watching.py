"""What every process that follows the log runs beside its work: threads, and metrics on METRICS_PORT."""

from __future__ import annotations

import threading
from functools import partial

from api.monitoring.lag_samples import sample_regularly
from cli.listening import explain_metrics_port
from infrastructure.process.loop_server import serve_loops
from infrastructure.process.loops import Loops
from infrastructure.process.stalls import watch_stalls
from infrastructure.process.threads import start_watched
from infrastructure.settings import BadSettings, Settings


def start_watches(dsn: str, has_kafka: bool, stop: threading.Event) -> None:
    """Log sessions that stall the followers, and store samples of their lags, until `stop` is set."""
    start_watched(partial(watch_stalls, dsn, stop), name="stalls")
    start_watched(partial(sample_regularly, dsn, has_kafka, stop), name="lags")


def start_metrics(settings: Settings) -> Loops:
    """The loops of this process, whose health and metrics are served if METRICS_PORT is set.

    Raises BadSettings if the port cannot be used.
    """
    loops = Loops()
    loops.count_process()
    if settings.metrics_port is not None:
        try:
            serve_loops(settings.host, settings.metrics_port, loops)
        except (OSError, UnicodeError) as error:  # UnicodeError: HOST is not a host name
            problem = getattr(error, "strerror", None) or str(error)
            raise BadSettings(explain_metrics_port(settings, problem)) from None
    return loops
