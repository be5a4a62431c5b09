"""/metrics: the metrics for Prometheus; needs an admin's key."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.monitoring.gauges import update_gauges
from infrastructure.process.metrics import CONTENT_TYPE, render_metrics


class Metrics(Resource):
    """The metrics of all workers of this server, added up."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The metrics in the text format of Prometheus",
            roles="admin",
            query=NoQuery,
            media_type="text/plain",
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.caller.require("admin", "read metrics")
        read_query(req, NoQuery)
        update_gauges(self.services.settings)
        resp.content_type = CONTENT_TYPE
        resp.data = render_metrics()
