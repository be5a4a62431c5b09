"""Which redirect URIs an OAuth client may register (RFC 9700 section 2.1, RFC 8252)."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

MAX_CHARACTERS = 2_000
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_ANSWERS = frozenset(("code", "state", "iss", "error", "error_description", "error_uri"))
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


def complaint(uri: str) -> str | None:
    """Why `uri` cannot be registered, to complete "A redirect URI ...", or None."""
    if len(uri) > MAX_CHARACTERS or not _PRINTABLE.fullmatch(uri) or set('\\*"<>') & set(uri):
        return f"has up to {MAX_CHARACTERS} printable ASCII characters, no backslash, quote, <, > or *"
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "must be an absolute URI"
    if "#" in uri:
        return "must have no fragment"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    if _ANSWERS & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
        return f"must not have the parameters of the answer: {', '.join(sorted(_ANSWERS))}"
    return _complaint_about_place(parts)


def origin(uri: str) -> str:
    """The origin of the URI, or its scheme when it has no host, as a source for a Content-Security-Policy."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _complaint_about_place(parts: SplitResult) -> str | None:
    if parts.scheme == "https":
        return None if parts.hostname else "must name a host"
    if parts.scheme == "http":
        return None if parts.hostname in LOOPBACK else "must be https, unless it leads to this very machine"
    if _PRIVATE_SCHEME.fullmatch(parts.scheme):
        return None
    return "must be https, or an app's own scheme with a dot in it, such as com.example.app:/done"
