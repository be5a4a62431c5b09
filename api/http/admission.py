"""The checks before an operation of the API: credential, rate limit, scope."""

from __future__ import annotations

from collections.abc import Sequence

import falcon

from api.http import rate_limit
from api.http.auth import authenticate
from api.http.errors import UNAVAILABLE, Refused
from api.http.parking import has_waited
from api.http.rate_limit import RateWindow
from api.http.services import Services
from domain.access import Caller, Scope
from infrastructure.storage.postgres import Pool

RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource"


def admit(services: Services, req: falcon.Request, resp: falcon.Response, scopes: Sequence[Scope]) -> None:
    """Authenticate the caller, set `req.context.caller` and count the request.

    Raises Refused: 401 without a valid credential, 429 above its rate limit, 403 without any of `scopes`.
    With 401 and the missing scope the answer has a challenge (RFC 6750 section 3, RFC 9728 section 5.1).
    """
    base_url = services.settings.base_url
    try:
        may_read_replica = services.settings.has_replica and req.method in ("GET", "HEAD")
        caller, window = _identify(services.pool, req, resp, with_position=may_read_replica)
    except Refused as refusal:
        if refusal.code == "unauthenticated":
            error = "invalid_token" if _sends_bearer(req) else None
            resp.set_header("WWW-Authenticate", _challenge(base_url, error, scopes))
        raise
    rate_limit.require_below_limit(window)
    if scopes and caller.scopes.isdisjoint(scopes):
        resp.set_header("WWW-Authenticate", _challenge(base_url, "insufficient_scope", scopes))
        raise Refused("insufficient_scope", f"This key lacks the scope {' or '.join(scopes)}.")


def recognise(pool: Pool, req: falcon.Request, resp: falcon.Response) -> None:
    """Count a request that is refused before it is admitted, if it has a valid credential.

    The answer gets the X-RateLimit headers. Without a valid credential, or when it cannot be checked, the
    refusal stays the same.
    """
    if not req.env.get("HTTP_AUTHORIZATION"):
        return
    try:
        _identify(pool, req, resp)
    except (Refused, *UNAVAILABLE):
        return


def _identify(
    pool: Pool, req: falcon.Request, resp: falcon.Response, *, with_position: bool = False
) -> tuple[Caller, RateWindow]:
    """Authenticate the caller, count the request, unless it has waited, and set the X-RateLimit headers."""
    caller, window, req.context.pending_position, req.context.shown_position = authenticate(
        pool, req.env.get("HTTP_AUTHORIZATION"), counts=not has_waited(req), with_position=with_position
    )
    req.context.caller = caller
    rate_limit.set_headers(resp, window)
    return caller, window


def _challenge(base_url: str, error: str | None, scopes: Sequence[Scope]) -> str:
    """The value of WWW-Authenticate. A request without a credential gets no error (RFC 6750 section 3.1). Of
    several scopes, each of which is enough, the last one is named: it allows least."""
    parameters = {
        "error": error,
        "scope": scopes[-1] if scopes else None,
        "resource_metadata": base_url + RESOURCE_METADATA_PATH,
    }
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)


def _sends_bearer(req: falcon.Request) -> bool:
    return (req.env.get("HTTP_AUTHORIZATION") or "").lower().startswith("bearer")
