"""/admin/checks: verifications of the log and the read tables, and parked events."""

from __future__ import annotations

from typing import ClassVar

import falcon

from notary.signing import last_checkpoint, last_checkpoint_until
from pages.common.page_operation import PageOperation
from pages.panel import verification
from pages.panel.checkpoints import shown_checkpoint
from pages.panel.page import ListQuery, PanelPage, page_of, pages_of, read_filters
from projections.overview import list_parked, system_state


class Checks(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "See the state of the read tables"),
        "POST": page_of("admin", "Start a verification"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_filters(req, ListQuery)
        pool = self.services.pool
        parked = list_parked(pool, query.limit, query.offset)
        runs = verification.list_runs(pool)
        with pool.connection() as conn:
            checkpoint = shown_checkpoint(last_checkpoint(conn))
            checkpoints = {
                run.id: shown_checkpoint(last_checkpoint_until(conn, run.position))
                for run in runs
                if run.state in ("clean", "different")
            }
        self.show(
            req,
            resp,
            "checks.html",
            system=system_state(pool),
            runs=runs,
            checkpoint=checkpoint,
            checkpoints=checkpoints,
            is_running=any(run.state == "running" for run in runs),
            parked=parked.items,
            pages=pages_of(req, query, parked.total),
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = self.command(req)
        verification.start(self.services.pool, context.command_id, context.caller.principal_id)
        self.go(resp, "/admin/checks", "verification-started")
