"""The checks before an operation of the API: credential, rate limit, scope."""

from __future__ import annotations

from collections.abc import Sequence

import falcon

from api.http import rate_limit
from api.http.auth import authenticate
from api.http.errors import UNAVAILABLE, Refused
from api.http.rate_limit import RateWindow
from domain.access import Caller, Scope
from infrastructure.storage.postgres import Pool


def admit(pool: Pool, req: falcon.Request, resp: falcon.Response, scopes: Sequence[Scope]) -> None:
    """Authenticate the caller, set `req.context.caller` and count the request.

    Raises Refused: 401 without a valid credential, 429 above its rate limit, 403 without any of `scopes`.
    """
    caller, window = _identify(pool, req, resp)
    rate_limit.require_below_limit(window)
    if scopes and caller.scopes.isdisjoint(scopes):
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


def _identify(pool: Pool, req: falcon.Request, resp: falcon.Response) -> tuple[Caller, RateWindow]:
    """Authenticate the caller, count the request and set the X-RateLimit headers."""
    caller, window = authenticate(pool, req.env.get("HTTP_AUTHORIZATION"))
    req.context.caller = caller
    rate_limit.set_headers(resp, window)
    return caller, window
