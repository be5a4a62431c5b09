"""Origins of web pages (RFC 6454), from which browsers may be allowed to use the API."""

from __future__ import annotations

import re

from domain.redirect_uri import LOOPBACK

MAX_CHARACTERS = 300
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def parse_origin(text: str) -> str | None:
    """The origin as browsers send it, such as https://board.example.com; None if the text is not an origin.

    The scheme may be one of a framework for apps, such as capacitor://localhost.
    """
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None or len(text) > MAX_CHARACTERS:
        return None
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if port is not None and not 1 <= int(port) <= 65_535:
        return None
    is_default = port is None or port.lstrip("0") == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{int(port or 0)}"


def origin_problem(text: str) -> str | None:
    """Why an application cannot have this origin, to complete "The origin ..."; None if it can."""
    origin = parse_origin(text)
    if origin is None:
        return "must be a scheme and a host, without a path, such as https://board.example.com"
    scheme, _, host = origin.partition("://")
    if scheme == "http" and re.sub(r":[0-9]+$", "", host).strip("[]") not in LOOPBACK:
        return "must use https, except for a loopback address"
    return None
