"""What every process that follows the log runs beside its work: threads, metrics and traces."""

from __future__ import annotations

import atexit
import threading
from functools import partial

from api.monitoring.lag_samples import sample_regularly
from cli.listening import explain_metrics_port
from infrastructure.process.loop_server import serve_loops
from infrastructure.process.loops import Loops
from infrastructure.process.stalls import watch_stalls
from infrastructure.process.threads import start_watched
from infrastructure.process.tracing import start_tracing, stop_tracing
from infrastructure.settings import BadSettings, Settings


def start_watches(dsn: str, has_kafka: bool, stop: threading.Event) -> None:
    """Log sessions that stall the followers, and store samples of their lags, until `stop` is set."""
    start_watched(partial(watch_stalls, dsn, stop), name="stalls")
    start_watched(partial(sample_regularly, dsn, has_kafka, stop), name="lags")


def start_observation(settings: Settings, process: str) -> Loops:
    """The loops of this process, whose health and metrics are served if METRICS_PORT is set. Starts traces.

    Raises BadSettings if the port cannot be used.
    """
    start_tracing(settings, process)
    atexit.register(stop_tracing)
    loops = Loops()
    loops.count_process()
    if settings.metrics_port is not None:
        try:
            serve_loops(settings.host, settings.metrics_port, loops)
        except (OSError, UnicodeError) as error:  # UnicodeError: HOST is not a host name
            problem = getattr(error, "strerror", None) or str(error)
            raise BadSettings(explain_metrics_port(settings, problem)) from None
    return loops
