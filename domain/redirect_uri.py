"""Which redirect URIs an OAuth client may register (RFC 9700 section 2.1, RFC 8252)."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

MAX_CHARACTERS = 2_000
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_ANSWERS = frozenset(("code", "state", "iss", "error", "error_description", "error_uri"))
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_ON_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::[0-9]{1,5})?((?:[/?].*)?)")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


def redirect_uri_problem(uri: str) -> str | None:
    """Why `uri` cannot be registered, to complete "The redirect URI ..."; None if it can."""
    if len(uri) > MAX_CHARACTERS or not _PRINTABLE.fullmatch(uri) or set('\\*"<>') & set(uri):
        return f'must have at most {MAX_CHARACTERS} printable ASCII characters and no \\ * " < >'
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "must be an absolute URI"
    if "#" in uri:
        return "must not have a fragment"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or password"
    if _ANSWERS & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
        return f"must not contain parameters that the answer adds: {', '.join(sorted(_ANSWERS))}"
    return _scheme_problem(parts)


def matches_redirect_uri(registered: str, given: str) -> bool:
    """Whether the redirect URI of a request is the registered one.

    They are compared as text (RFC 9700 section 2.1), except for the port of a loopback address (RFC 8252
    section 7.3).
    """
    if registered == given:
        return True
    one, other = _ON_LOOPBACK.fullmatch(registered), _ON_LOOPBACK.fullmatch(given)
    is_equal = one is not None and other is not None and one.groups() == other.groups()
    return is_equal and redirect_uri_problem(given) is None  # the port may be above 65535


def origin(uri: str) -> str:
    """The origin of the URI, or its scheme when it has no host, as a source for a Content-Security-Policy."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _scheme_problem(parts: SplitResult) -> str | None:
    if parts.scheme == "https":
        return None if parts.hostname else "must name a host"
    if parts.scheme == "http":
        return None if parts.hostname in LOOPBACK else "must use https, except for a loopback address"
    if _PRIVATE_SCHEME.fullmatch(parts.scheme):
        return None
    return "must use https, or an app's own scheme that contains a dot, such as com.example.app:/done"
