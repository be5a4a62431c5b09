"""Checks that the API can listen on its addresses, before any process is started."""

from __future__ import annotations

import socket

from infrastructure.settings import BadSettings, Settings


def require_free_metrics_port(settings: Settings) -> None:
    """Raise BadSettings when METRICS_PORT is set and another process uses it."""
    port = settings.metrics_port
    if port is not None and (problem := find_listen_problem(settings.host, port)):
        raise BadSettings(f"METRICS_PORT {port} on {settings.host} cannot be used: {problem}.")


def require_local_host(settings: Settings) -> None:
    """Raise BadSettings unless HOST is an address of this machine."""
    if problem := find_listen_problem(settings.host, 0):
        raise BadSettings(f"HOST {settings.host} cannot be used: {problem}.")


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
