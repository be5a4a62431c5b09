"""How large a body each path accepts: larger ones are refused before they have arrived."""

from __future__ import annotations

import re
from collections.abc import Sequence

from api.http.resource import MAX_BODY_BYTES, Resource


class BodyLimits:
    """The limits of the routes that accept more than MAX_BODY_BYTES, as their operations declare them."""

    def __init__(self, routes: Sequence[tuple[str, type[Resource]]]) -> None:
        self._limits = [
            (_pattern(method, path), operation.max_body_bytes)
            for path, resource in routes
            for method, operation in resource.operations.items()
            if operation.max_body_bytes > MAX_BODY_BYTES
        ]

    def of(self, head: bytes) -> int:
        """The largest body that is accepted after a head that begins with this request line."""
        return next((limit for pattern, limit in self._limits if pattern.match(head)), MAX_BODY_BYTES)


def _pattern(method: str, path: str) -> re.Pattern[bytes]:
    """Matches the request line. A target in absolute form begins with scheme and host (RFC 9112, 3.2.2)."""
    fixed = map(re.escape, re.split(r"\{\w+\}", path))
    target = "[^/?# ]+".join(fixed)
    return re.compile(rf"(?:\r\n)?{method} (?:https?://[^/ ]+)?{target}[?# ]".encode())
