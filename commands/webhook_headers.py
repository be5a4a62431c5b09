"""Custom headers of webhook posts. Their values are stored encrypted and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

HEADERS_PURPOSE = "webhook headers"
RESERVED = frozenset(
    (
        *(
            "accept-encoding",
            "connection",
            "expect",
            "host",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
        ),
        *("upgrade", "user-agent", "cookie", "authorization"),
    )
)
RESERVED_PREFIXES = ("webhook-", "content-", "proxy-", "sec-")

HeaderName = Annotated[str, Meta(min_length=1, max_length=100)]
HeaderValue = Annotated[str, Meta(min_length=1, max_length=1_000)]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    Meta(max_length=20, description="Headers of every post. The values are never shown again."),
]

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token (RFC 9110 section 5.6.2)
_VALUE = re.compile(r"[\x20-\x7e]+")


def headers_problem(headers: Mapping[str, str]) -> str | None:
    """The first problem, to complete "The headers field ..."; None for valid headers."""
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            return f"contains the name {name[:100]!r}, which is not the name of a header."
        if lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
            return f"contains {name}, which cannot be set."
        if lower in seen:
            return f"contains {name} twice."
        if not _VALUE.fullmatch(value):
            return f"contains a value of {name} that is not printable ASCII."
        seen.add(lower)
    return None
