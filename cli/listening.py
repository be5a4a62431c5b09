"""Whether what the API is to listen on can be had, asked before anything is started."""

from __future__ import annotations

import socket

from infrastructure.settings import BadSettings, Settings


def require_free_metrics_port(settings: Settings) -> None:
    """Raise BadSettings when METRICS_PORT is set and another process has it."""
    port = settings.metrics_port
    if port is not None and (complaint := why_not(settings.host, port)):
        raise BadSettings(f"METRICS_PORT {port} on {settings.host} cannot be used: {complaint}.")


def require_our_host(settings: Settings) -> None:
    """Raise BadSettings unless HOST is an address of this machine."""
    if complaint := why_not(settings.host, 0):
        raise BadSettings(f"HOST {settings.host} cannot be used: {complaint}.")


def why_not(host: str, port: int) -> str | None:
    """Why nobody can listen there now, in the words of the system; None when one can. 0 is any port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except UnicodeError:
        return "It is no name of a host"
    except OSError as error:  # also where this machine knows no IPv6
        return error.strerror or str(error)
    return None
