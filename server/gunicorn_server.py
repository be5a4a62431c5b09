"""Runs the API in gunicorn. All configuration of gunicorn is in this file."""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from api.http.services import Services, make_services, read_signing_key
from infrastructure.process.garbage import spare_present_objects
from infrastructure.process.logs import LineHandler, configure_logs
from infrastructure.process.memory import return_freed_memory
from infrastructure.process.shared_metrics import SharedMetrics, free_place
from infrastructure.process.tracing import start_tracing, stop_tracing
from infrastructure.settings import Settings
from server.reception import MAX_LINE_BYTES
from server.worker import Worker

KEEPALIVE_SECONDS = 75  # longer than the proxy in front keeps its connections (deploy/nginx.conf)
GRACEFUL_SECONDS = 20
MOST_CONNECTIONS = 10_000  # of a worker, most of them idle
_FILES_OF_CONNECTION = 2  # its socket, and the file of an answer or request
_OTHER_FILES = 256  # connections to PostgreSQL, pipes, libraries
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat must not wait for a disk


def serve(settings: Settings) -> None:
    """Serve the API in the foreground until a signal stops it."""
    return_freed_memory()
    _allow_open_files()
    configure_logs(settings.log_level)
    metrics = SharedMetrics(_find_memory_folder())
    import server.app  # noqa: F401 - after SharedMetrics: metrics defined earlier would not be shared

    try:  # run() forks the workers; it also ends in a worker that cannot start
        _Server(settings, read_signing_key(settings), metrics).run()
    except SystemExit as end:
        metrics.delete()
        if end.code == 0:
            _end_now()
        raise
    finally:
        metrics.delete()


class _Server(BaseApplication):  # type: ignore[misc]
    """The application for gunicorn, which calls `load` in each worker after the fork."""

    def __init__(self, settings: Settings, signing_key: bytes, metrics: SharedMetrics) -> None:
        self._settings = settings
        self._signing_key = signing_key
        self._metrics = metrics
        self._services: Services | None = None
        self._metrics_socket: socket.socket | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in make_gunicorn_options(self._settings).items():
            self.cfg.set(name, value)
        self.cfg.set("pre_fork", self._choose_place)
        self.cfg.set("post_fork", self._take_place)
        self.cfg.set("worker_exit", self._close)
        self.cfg.set("when_ready", self._serve_metrics)

    def load(self) -> Any:
        from server.app import create_app

        start_tracing(self._settings, "api")
        self._services = make_services(self._settings, self._signing_key)
        app = create_app(self._services)
        spare_present_objects()
        return app

    def _serve_metrics(self, arbiter: Arbiter) -> None:
        """Serve the metrics on a separate port. Runs in the master before it forks the first worker."""
        settings = self._settings
        if settings.metrics_port is not None:
            from api.monitoring.gauges import update_gauges
            from infrastructure.process.metrics import serve_metrics

            before_each = partial(update_gauges, settings)
            self._metrics_socket = serve_metrics(
                settings.host, settings.metrics_port, before_each=before_each
            )

    def run(self) -> None:
        _Arbiter(self).run()

    def _choose_place(self, arbiter: Arbiter, worker: Worker) -> None:
        """Choose a place in the shared metrics that no running worker uses."""
        worker.place = free_place(one.place for one in arbiter.WORKERS.values())

    def _take_place(self, arbiter: Arbiter, worker: Worker) -> None:
        """Count at the chosen place. Runs in the worker after the fork."""
        self._metrics.count_at(worker.place)
        if self._metrics_socket is not None:
            self._metrics_socket.close()

    def _close(self, arbiter: Arbiter, worker: Worker) -> None:
        if self._services is not None:
            self._services.close()
        stop_tracing()
        if worker.has_finished:
            _end_now()


def _end_now() -> NoReturn:
    """End this process without Python's clean-up, which takes up to half a second of processor time and waits
    for all threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which does not kill workers after a pause of the whole server."""

    _checked_at = 0.0
    _spare_until = 0.0

    def murder_workers(self) -> None:
        """Kill workers whose last heartbeat is too old. The master calls this about once a second. A longer
        interval means that the master was paused, probably with its workers (`docker pause`): then they get
        time for a heartbeat first."""
        now = time.monotonic()
        if now - self._checked_at > self.timeout / 2:
            self._spare_until = now + self.timeout / 2
        self._checked_at = now
        if now >= self._spare_until:
            super().murder_workers()


def _allow_open_files() -> None:
    """Raise the limit of open files as far as MOST_CONNECTIONS need, and as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS * _FILES_OF_CONNECTION + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _count_connections() -> int:
    """How many connections a worker accepts: at the limit of open files, accepting would fail."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, (soft - _OTHER_FILES) // _FILES_OF_CONNECTION))


def make_gunicorn_options(settings: Settings) -> dict[str, Any]:
    """The gunicorn options that differ from the defaults. The benchmarks use them too."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": Worker,
        "worker_connections": settings.threads + _count_connections(),
        "logger_class": JsonLogger,
        "loglevel": settings.log_level.lower(),
        "keepalive": KEEPALIVE_SECONDS,
        "timeout": settings.worker_timeout_seconds,
        "graceful_timeout": GRACEFUL_SECONDS,
        "limit_request_line": MAX_LINE_BYTES,
        "limit_request_field_size": MAX_LINE_BYTES,
        "limit_request_fields": 64,
        "forwarded_allow_ips": "",  # ignore headers that set the scheme, script name or path
        "forwarder_headers": "",
        "control_socket_disable": True,
        "http_parser": "python",  # whatever is installed: its refusals are tested
        "worker_tmp_dir": _find_memory_folder(),
    }


class JsonLogger(Logger):  # type: ignore[misc]
    """Writes the messages of gunicorn as JSON lines."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = [LineHandler()]
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _find_memory_folder() -> str | None:
    return str(_MEMORY_FOLDER) if os.access(_MEMORY_FOLDER, os.W_OK) else None
