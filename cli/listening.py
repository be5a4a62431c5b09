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
_CHILD_OF_UP = "cli.main"  # in the command line that cli/supervisor.py gives a child


def require_free_metrics_port(settings: Settings) -> None:
    """Raise BadSettings when METRICS_PORT is set and another process uses it."""
    port = settings.metrics_port
    if port is not None and (problem := find_listen_problem(settings.host, port)):
        raise BadSettings(f"METRICS_PORT {port} on {settings.host} cannot be used: {problem}.")


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
    """Whether the process is an API that `up` started and that has lost it, or a worker of such an API."""
    with suppress(psutil.Error):
        if _CHILD_OF_UP not in _command_of(process):
            return False
        first = next((one for one in process.parents() if _CHILD_OF_UP not in _command_of(one)), None)
        return first is None or "up" not in _command_of(first)
    return True  # it has ended meanwhile


def _command_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
