"""/admin/health: the state of the followers of the log, of webhooks and of the database."""

from __future__ import annotations

from typing import ClassVar

import falcon

from pages.common.page_operation import PageOperation
from pages.panel.page import PanelPage, page_of
from projections.overview import system_state


class Health(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("admin", "See the health of the system")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(
            req,
            resp,
            "health.html",
            system=system_state(self.services.pool),
            has_kafka=self.services.settings.kafka_bootstrap_servers is not None,
        )
