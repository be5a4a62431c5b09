"""Which pages of other origins may read the API in a browser (CORS, the Fetch standard).

Applies to /v1, to the OAuth endpoints that applications in browsers call, and to the metadata. It never
applies to pages, and never allows cookies: requests carry their credential in a header.
docs/decisions/0019-browsers.md explains the design.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import falcon
import structlog

from api.http.errors import UNAVAILABLE
from infrastructure.storage.postgres import Pool, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "cors.sql")

_PATHS = ("/v1/", "/.well-known/", "/oauth/token", "/oauth/revoke")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
EXPOSED_HEADERS = (
    "Allow",
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Pending-Position",
    "Retry-After",
    "WWW-Authenticate",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
)
MAX_AGE_SECONDS = 600  # for which a browser keeps the answer to a preflight request
KNOWN_SECONDS = 10.0  # for which an origin of an application stays allowed without a query
UNKNOWN_SECONDS = 1.0  # after which an unknown origin is looked up again
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,2000}")

log = structlog.get_logger()


class AllowedOrigins:
    """The origins of the setting CORS_ORIGINS, and those of the OAuth clients, which are read repeatedly."""

    def __init__(self, pool: Pool, from_settings: tuple[str, ...]) -> None:
        self._pool = pool
        self._from_settings = frozenset(from_settings)
        self._of_clients: frozenset[str] = frozenset()
        self._read_at: float | None = None
        self._lock = threading.Lock()

    def __contains__(self, origin: str) -> bool:
        if origin in self._from_settings:
            return True
        limit_seconds = KNOWN_SECONDS if origin in self._of_clients else UNKNOWN_SECONDS
        self._read_again_after(limit_seconds)
        return origin in self._of_clients

    def _read_again_after(self, limit_seconds: float) -> None:
        """Read the origins of the clients unless they were read within this time. While the database does not
        answer, the last ones stay in force, so that browsers can read the errors."""
        if not self._lock.acquire(blocking=self._read_at is None):
            return
        try:
            if self._read_at is None or time.monotonic() - self._read_at > limit_seconds:
                with self._pool.connection() as conn:
                    self._of_clients = frozenset(origin for (origin,) in conn.execute(_sql["list_origins"]))
                self._read_at = time.monotonic()
        except UNAVAILABLE as error:
            self._read_at = time.monotonic()  # the next requests must not wait for the database too
            log.warning("origins_not_read", error=type(error).__name__)
        finally:
            self._lock.release()


def allow_origin(origins: AllowedOrigins, req: falcon.Request, resp: falcon.Response) -> None:
    """Let the page that sent the request read the answer, if its origin is allowed. Answers a preflight
    request, which has no credential and is not counted."""
    if not req.path.startswith(_PATHS):
        return
    resp.append_header("Vary", "Origin")
    origin = req.get_header("Origin")
    if origin is None or origin not in origins:
        return
    resp.set_header("Access-Control-Allow-Origin", origin)
    if req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
        _answer_preflight(req, resp)
    else:
        resp.set_header("Access-Control-Expose-Headers", ", ".join(EXPOSED_HEADERS))


def _answer_preflight(req: falcon.Request, resp: falcon.Response) -> None:
    """Allow every method and header, because the server itself refuses what an address does not support."""
    resp.append_header("Vary", "Access-Control-Request-Headers")
    resp.set_header("Access-Control-Allow-Methods", METHODS)
    wanted = req.get_header("Access-Control-Request-Headers") or ""
    if _HEADER_NAMES.fullmatch(wanted):
        resp.set_header("Access-Control-Allow-Headers", wanted)
    resp.set_header("Access-Control-Max-Age", str(MAX_AGE_SECONDS))
    resp.status = falcon.HTTP_204
    resp.complete = True
