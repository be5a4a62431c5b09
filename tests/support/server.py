"""Starts a real API: gunicorn with its workers, and a projector, as separate processes."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from tests.support.commands import TICKETING, environment
from tests.support.forks import TicketingProcess

READY_SECONDS = 120
STOP_SECONDS = 60


@contextmanager
def running_api(
    dsn: str,
    *,
    workers: int = 2,
    threads: int = 8,
    projector: bool = True,
    others: Sequence[str] = (),
    log: Path | None = None,
    forked: bool = True,
    **variables: str,
) -> Iterator[str]:
    """The base URL of an API on a free loopback port, once it is ready.

    `others` names `ticketing` commands to start too. All processes write to the file `log`. `variables` are
    settings by the names of their environment variables. Only the API gets METRICS_PORT.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ticketing-api-") as home:
        defaults = {
            "DATABASE_URL": dsn,
            "TICKETING_HOME": home,
            "PORT": str(port),
            "WORKERS": str(workers),
            "THREADS": str(threads),
        }
        settings = environment(**defaults | variables)
        log = log or Path(home) / "output.log"
        names = ("api", "projector", *others) if projector else ("api", *others)
        start = TicketingProcess if forked else _start_script
        of_others = {name: value for name, value in settings.items() if name != "METRICS_PORT"}
        processes = [
            start(name, environ=settings if name == "api" else of_others, stdout=log) for name in names
        ]
        try:
            base_url = f"http://127.0.0.1:{port}"
            _wait_until_ready(base_url, processes, log)
            yield base_url
        finally:
            _stop(processes)


def _start_script(name: str, *, environ: dict[str, str], stdout: Path) -> subprocess.Popen[bytes]:
    """Start the installed script, for benchmarks: its memory holds only what the command imports."""
    with stdout.open("ab") as output:
        return subprocess.Popen([TICKETING, name], env=environ, stdout=output, stderr=output)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lasting_ports(count: int) -> list[int]:
    """Free ports in a row, below the ephemeral range: no client takes one while its server is down."""
    while True:
        first = random.randrange(15_000, 32_000)
        ports = list(range(first, first + count))
        with ExitStack() as opened:
            try:
                for port in ports:
                    opened.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return ports


def _wait_until_ready(base_url: str, processes: list[TicketingProcess], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if requests.get(f"{base_url}/health/ready", timeout=3).status_code == 200:
                return
        except (requests.ConnectionError, requests.Timeout):
            pass
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            raise AssertionError(f"the API did not start:\n{log.read_text()[-4_000:]}")
        time.sleep(0.05)


def _stop(processes: list[TicketingProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
