"""The checks before an operation of the API: credential, rate limit, scope."""

from __future__ import annotations

from collections.abc import Sequence

import falcon

from api.http import rate_limit
from api.http.auth import authenticate
from api.http.errors import Refused
from domain.access import Scope
from infrastructure.storage.postgres import Pool


def admit(pool: Pool, req: falcon.Request, resp: falcon.Response, scopes: Sequence[Scope]) -> None:
    """Authenticate the caller, set `req.context.caller` and count the request.

    Raises Refused: 401 without a valid credential, 429 above its rate limit, 403 without any of `scopes`.
    """
    caller, window = authenticate(pool, req.env.get("HTTP_AUTHORIZATION"))
    req.context.caller = caller
    rate_limit.set_headers(resp, window)
    rate_limit.require_below_limit(window)
    if scopes and caller.scopes.isdisjoint(scopes):
        raise Refused("insufficient_scope", f"This key lacks the scope {' or '.join(scopes)}.")
