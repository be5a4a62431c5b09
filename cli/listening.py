"""Checks that the API can listen on its addresses, before any process is started."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import psutil

from cli.output import note
from infrastructure.settings import BadSettings, Settings

END_SECONDS = 30.0  # an API that is ending has GRACEFUL_SECONDS for requests that it is still answering
POLL_SECONDS = 0.1
LAST_PORT = 65_535
PROCESSES = ("api", "projector", "relay", "webhook-dispatcher", "notary")
_CHILD_OF_UP = "cli.main"  # in the command line that cli/supervisor.py gives a child


def require_free_metrics_port(settings: Settings) -> None:
    """Raise BadSettings when METRICS_PORT is set and another process uses it."""
    port = settings.metrics_port
    if port is not None and (problem := find_listen_problem(settings.host, port)):
        raise BadSettings(explain_metrics_port(settings, problem))


def metrics_ports(settings: Settings) -> dict[str, int]:
    """The ports for metrics of the processes of `ticketing up`: METRICS_PORT for the API, and the next four.

    Empty if METRICS_PORT is not set. Raises BadSettings if PORT is one of them.
    """
    if settings.metrics_port is None:
        return {}
    ports = {name: settings.metrics_port + number for number, name in enumerate(PROCESSES)}
    last = max(ports.values())
    if settings.port in ports.values() or last > LAST_PORT:
        raise BadSettings(
            f"METRICS_PORT is {settings.metrics_port}, so the processes use the ports"
            f" {settings.metrics_port} to {last}. They must not contain PORT {settings.port}, nor exceed"
            f" {LAST_PORT}."
        )
    return ports


def explain_metrics_port(settings: Settings, problem: str) -> str:
    """The message for a METRICS_PORT that cannot be used."""
    return (
        f"METRICS_PORT {settings.metrics_port} on {settings.host} cannot be used: {problem}. Each process on"
        " one machine needs a port of its own."
    )


def require_local_host(settings: Settings) -> None:
    """Raise BadSettings unless HOST is an address of this machine."""
    if problem := find_listen_problem(settings.host, 0):
        raise BadSettings(f"HOST {settings.host} cannot be used: {problem}.")


def wait_for_port(host: str, port: int) -> str | None:
    """Wait while the port is held by an API that is ending, because its `up` was killed. Returns the problem
    that remains, with the process that holds the port, or None."""
    deadline = time.monotonic() + END_SECONDS
    is_reported = False
    while problem := find_listen_problem(host, port):
        holder = _find_holder(port)
        if holder is None:  # it has just ended, or belongs to another user
            return find_listen_problem(host, port)
        name = f"process {holder.pid} ({' '.join(_command_of(holder))[:200]})"
        if not _is_ending(holder) or time.monotonic() > deadline:
            return f"{problem} by {name}"
        if not is_reported:
            note(f"Port {port} is still used by {name}. Waiting up to {END_SECONDS:.0f} s for its end.")
            is_reported = True
        time.sleep(POLL_SECONDS)
    return None


def find_listen_problem(host: str, port: int) -> str | None:
    """Return the system error that prevents listening there, or None. Port 0 means any free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except UnicodeError:
        return "It is not a host name"
    except OSError as error:  # also when this machine has no IPv6
        return error.strerror or str(error)
    return None


def _find_holder(port: int) -> psutil.Process | None:
    """The oldest process that listens on the port; None if none is found."""
    with suppress(psutil.Error):
        pids = {
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
        }
        return min((psutil.Process(pid) for pid in pids), key=psutil.Process.create_time, default=None)
    return None


def _is_ending(process: psutil.Process) -> bool:
    """Whether the process is an API whose `up` has ended, so that the API ends too, or one of its workers."""
    try:
        command, ancestors = process.cmdline(), process.parents()
    except psutil.AccessDenied:
        return False
    except psutil.Error:
        return True  # it has ended meanwhile
    if not command:
        return True  # its memory is released already, its port is not yet
    if _CHILD_OF_UP not in command:
        return False
    first = next((one for one in ancestors if _CHILD_OF_UP not in _command_of(one)), None)
    return first is None or "up" not in _command_of(first)


def _command_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
