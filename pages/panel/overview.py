"""/admin: the overview."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import falcon
from msgspec.structs import replace

from api.http.redirects import redirect
from pages.common.page_operation import PageOperation
from pages.panel.own_tickets import PATH as OWN_TICKETS
from pages.panel.page import PanelPage, page_of
from projections.overview import opened_by_day, system_state, ticket_counts
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets

SHOWN_DAYS = 13
SHOWN_TICKETS = 6


class Overview(PanelPage):
    """The active tickets and, for admins, the lag of the followers of the log."""

    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("guest", "Show the overview")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, pool = req.context.caller, self.services.pool
        if not caller.is_at_least("staff"):
            redirect(resp, OWN_TICKETS)
            return
        urgent = TicketQuery(
            status=("open", "in_progress"), sort="priority", limit=SHOWN_TICKETS, count=False
        )
        mine = replace(urgent, assigned_to=(caller.principal_id,))
        days = opened_by_day(pool, caller, datetime.now(UTC), SHOWN_DAYS)
        self.show(
            req,
            resp,
            "overview.html",
            counts=ticket_counts(pool, caller),
            days=days,
            most=max(1, *(day.tickets for day in days)),
            urgent=list_tickets(pool, caller, urgent).items,
            mine=list_tickets(pool, caller, mine).items,
            system=system_state(pool) if caller.is_at_least("admin") else None,
            has_kafka=self.services.settings.kafka_bootstrap_servers is not None,
        )
