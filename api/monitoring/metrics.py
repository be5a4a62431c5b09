"""/metrics: for Prometheus, with an admin's key."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.monitoring.health import measure
from infrastructure.process.metrics import CONTENT_TYPE, exposition


class Metrics(Resource):
    """Counts and times of every worker of this server."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Metrics in Prometheus' text format",
            roles="admin",
            query=NoQuery,
            media_type="text/plain",
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.caller.require("admin", "read metrics")
        read_query(req, NoQuery)
        measure(self.services.settings)
        resp.content_type = CONTENT_TYPE
        resp.data = exposition()
