"""Tells a caller when answers may lack the caller's own changes, because the read tables lag behind the log.

A write waits until the read tables contain its event. If they do not in time, the change is stored all the
same: the answer has the header `Pending-Position` with the position of the event, and the caller's row in
`access.rate_windows` has it too. Later reads of the same caller, in any worker, get it with that row. They
wait for the position, or their answers have the header as well. docs/decisions/0024-own-writes.md has the
reasons.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import falcon

from api.http.context import RequestContext
from api.http.errors import UNAVAILABLE
from api.http.services import Services
from infrastructure.process.failures import FailureLog
from infrastructure.storage.postgres import named_queries
from infrastructure.storage.replica import require_position

HEADER = "Pending-Position"
_sql = named_queries(Path(__file__).parent / "sql" / "pending_changes.sql")
_failures = FailureLog("pending_position_not_stored")


def wait_until_shown(req: falcon.Request, resp: falcon.Response, services: Services, position: int) -> None:
    """Wait until the read tables contain the caller's change at `position`; otherwise set the header."""
    if not services.visibility.wait_for(position):
        resp.set_header(HEADER, str(position))
        _store(req, services, "store_position", position)


def wait_for_earlier(req: falcon.Request, resp: falcon.Response, services: Services) -> None:
    """Wait briefly until the read tables contain the caller's earlier changes; otherwise set the header.

    During an upgrade it also waits for changes that processes of the other version have answered."""
    services.visibility.wait_for_others()
    position = cast(RequestContext, req.context).pending_position
    if position is None:
        return
    if services.visibility.wait_for(position, is_read=True):
        require_position(position)
        _store(req, services, "forget_position", position)
    else:
        resp.set_header(HEADER, str(position))


def _store(req: falcon.Request, services: Services, statement: str, position: int) -> None:
    """Run a statement on the caller's row. Never fails the request, whose work is done."""
    parameters = {"key": req.context.caller.holder, "position": position}
    try:
        with services.pool.connection() as conn:
            conn.execute(_sql[statement], parameters)
    except UNAVAILABLE as error:
        _failures.add(error)
