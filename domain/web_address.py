"""The rules for the addresses of webhooks.

The form is more restricted than RFC 3986, so that all parsers interpret an address in the same way: ASCII, no
user, no fragment, and a host of plain labels or an IP address in canonical form.
"""

from __future__ import annotations

import ipaddress
import re

from domain.public_ips import is_public

MAX_URL_LENGTH = 2_048
LOWEST_FREE_PORT = 1_024
HTTPS_PORT = 443
HTTP_PORT = 80
# Names that public name servers never resolve (RFC 6761, 6762, 7686, 9476; ICANN reserved `internal`).
NEVER_PUBLIC = frozenset({"localhost", "local", "internal", "invalid", "onion", "alt", "localdomain"})

_FORM = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?",
    re.ASCII,
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)


def web_address_problem(url: str, *, allow_private: bool) -> str | None:
    """Why a webhook may not have this address, to complete "The url field ..."; None if it may.

    `allow_private` also allows http and addresses of private networks, for development and tests.
    """
    if len(url) > MAX_URL_LENGTH:
        return f"may not be longer than {MAX_URL_LENGTH:,} characters."
    if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
        return "must not contain a user name or password."
    if "#" in url:
        return "must not have a fragment."
    match = _FORM.fullmatch(url)
    if match is None:
        return "must be a web address in ASCII, such as https://your-server.com/webhook-endpoint."
    if match["scheme"] != "https" and not allow_private:
        return "must begin with https://."
    return _host_problem(match["host"], allow_private) or _port_problem(match["port"], match["scheme"])


def _host_problem(host: str, allow_private: bool) -> str | None:
    if host.startswith("["):
        return _ip_problem(host[1:-1], allow_private)
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ip_problem(host, allow_private)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "must have a host name of letters, digits, hyphens and dots."
    if not allow_private and not _is_public_name([label.lower() for label in labels]):
        return "must have a public host name."
    return None


def _is_public_name(labels: list[str]) -> bool:
    """Whether public name servers may resolve the name."""
    return len(labels) > 1 and labels[-1] not in NEVER_PUBLIC and labels[-2:] != ["home", "arpa"]  # RFC 8375


def _ip_problem(text: str, allow_private: bool) -> str | None:
    """The problem of an IP address in short, octal or hexadecimal form, or not public; None for a valid one.

    The dispatcher checks the addresses of a name when it connects (webhook_dispatcher/address_guard.py).
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "must have an IP address of four decimal numbers, or an IPv6 address in brackets."
    if not allow_private and not is_public(address):
        return "must be a public address."
    return None


def _port_problem(port: str | None, scheme: str) -> str | None:
    if port is None:
        return None
    number = int(port)
    allowed = number in (HTTPS_PORT, *([HTTP_PORT] if scheme == "http" else [])) or number >= LOWEST_FREE_PORT
    if not allowed or number > 65_535:
        return f"must have the port {HTTPS_PORT}, or {LOWEST_FREE_PORT} or above."
    return None
