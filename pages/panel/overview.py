"""/admin: the overview."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
from msgspec.structs import replace

from api.http.redirects import redirect
from api.http.services import Services
from domain.access import Caller
from domain.ticket import PRIORITIES
from pages.common.page_operation import PageOperation
from pages.panel import ticket_charts as charts
from pages.panel.own_tickets import PATH as OWN_TICKETS
from pages.panel.page import PanelPage, page_of
from pages.panel.recent_figures import RecentFigures
from projections.overview import system_state, ticket_counts
from projections.ticket_figures import MOST_TICKETS, TicketFigures
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.views import TicketSummary

SHOWN_TICKETS = 6
_ACTIVE = TicketQuery(status=("open", "in_progress"), sort="priority", limit=SHOWN_TICKETS, count=False)


class Overview(PanelPage):
    """The tickets that need work, and charts of all tickets within reach."""

    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("guest", "Show the overview")}

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._figures = RecentFigures(services.pool)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        if not caller.is_at_least("staff"):
            redirect(resp, OWN_TICKETS)
            return
        self.show(
            req,
            resp,
            "overview.html",
            counts=ticket_counts(self.services.pool, caller),
            mine=self._tickets(caller, replace(_ACTIVE, assigned_to=(caller.principal_id,))),
            unassigned=self._tickets(caller, replace(_ACTIVE, assigned_to=("none",))),
            critical=self._tickets(
                caller, replace(_ACTIVE, priority=("critical",), sort="created_at", order="asc")
            ),
            problems=self._problems(caller),
            **charts_of(self._figures.of(caller)),
        )

    def _tickets(self, caller: Caller, query: TicketQuery) -> list[TicketSummary]:
        return list_tickets(self.services.pool, caller, query).items

    def _problems(self, caller: Caller) -> list[str]:
        """The problems of the system; for admins."""
        if not caller.is_at_least("admin"):
            return []
        has_kafka = self.services.settings.kafka_bootstrap_servers is not None
        return system_state(self.services.pool).problems(has_kafka)


def charts_of(figures: TicketFigures) -> dict[str, Any]:
    """The figures and their charts, for the template."""
    return {
        "figures": figures,
        "most_tickets": MOST_TICKETS,
        "priorities": list(reversed(PRIORITIES)),
        "name_of_ages": charts.name_of_ages,
        "describe": charts.describe,
        "flow": charts.flow_chart(figures),
        "ages": charts.age_chart(figures),
        "answers": charts.time_chart(figures, lambda one: one.answer),
        "resolutions": charts.time_chart(figures, lambda one: one.resolution),
        "loads": charts.load_chart(figures),
    }
