"""Who may use an operation of the API: a known credential, within its rate limit, with the scope."""

from __future__ import annotations

from collections.abc import Sequence

import falcon

from api.http import rate_limit
from api.http.auth import authenticate
from api.http.errors import Refused
from domain.access import Scope
from infrastructure.storage.postgres import Pool


def admit(pool: Pool, req: falcon.Request, resp: falcon.Response, scopes: Sequence[Scope]) -> None:
    """Note the caller on the request and count it.

    Raises Refused: 401 without a valid credential, 429 above its rate limit, 403 without one of `scopes`.
    """
    caller, window = authenticate(pool, req.env.get("HTTP_AUTHORIZATION"))
    req.context.caller = caller
    rate_limit.show(window, resp)
    rate_limit.require_room(window)
    if scopes and caller.scopes.isdisjoint(scopes):
        raise Refused("insufficient_scope", f"This key lacks the scope {' or '.join(scopes)}.")
