"""/admin/health: the followers of the log, the posts of webhooks, sizes, and the last verification."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import falcon

from api.monitoring.lag_samples import list_samples
from api.monitoring.lags import Lags, read_lags
from api.monitoring.sizes import read_checkpoint, read_sizes
from api.monitoring.webhook_rates import MOST_ATTEMPTS, count_unfinished, measure_webhooks
from pages.common.page_operation import PageOperation
from pages.panel import lag_charts, verification
from pages.panel.page import PanelPage, page_of
from projections.overview import system_state


class Health(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("admin", "See the health of the system")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        pool, now = self.services.pool, datetime.now(UTC)
        has_kafka = self.services.settings.kafka_bootstrap_servers is not None
        self.show(
            req,
            resp,
            "health.html",
            now=now,
            system=system_state(pool),
            has_kafka=has_kafka,
            webhooks=measure_webhooks(pool),
            most_attempts=MOST_ATTEMPTS,
            unfinished=count_unfinished(pool),
            sizes=read_sizes(pool),
            checkpoint=read_checkpoint(pool),
            run=next(iter(verification.list_runs(pool)), None),
            **self._lags(has_kafka, now),
        )

    def _lags(self, has_kafka: bool, now: datetime) -> dict[str, Any]:
        """The lags now and in the last hour, for the template."""
        samples = list_samples(self.services.pool, now - lag_charts.SHOWN)
        followers = lag_charts.shown_followers(has_kafka)
        return {
            "followers": followers,
            "lags": self._read_lags(has_kafka)._asdict(),
            "lines": lag_charts.lag_lines(samples, followers, now),
            "rows": lag_charts.lag_rows(samples, followers, now),
        }

    def _read_lags(self, has_kafka: bool) -> Lags:
        with self.services.pool.connection() as conn:
            return read_lags(conn, has_kafka=has_kafka)
