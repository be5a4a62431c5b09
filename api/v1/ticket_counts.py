"""/v1/tickets/count."""

from __future__ import annotations

from typing import ClassVar

import falcon
import msgspec

from api.http.bodies import respond
from api.http.queries import read_query, without_parameters
from api.http.resource import Operation, Resource
from api.v1.tickets import TicketListQuery, to_ticket_query
from projections.tickets import count_tickets

TicketCountQuery = without_parameters(
    TicketListQuery,
    "TicketCountQuery",
    ("page", "per_page", "cursor", "sort", "order", "fields", "include"),
)


class TicketCount(msgspec.Struct, frozen=True, kw_only=True):
    count: int


class TicketCounts(Resource):
    """The number of tickets that a list has."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Count tickets",
            operation_id="countTickets",
            description="Takes the filters of the list of tickets, and returns how many tickets it has.",
            roles="all; guests count the tickets that they requested, others the tickets of their properties",
            scope="tickets:read",
            may_lag=True,
            query=TicketCountQuery,
            answer=TicketCount,
            answer_example={"count": 12},
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query, caller = read_query(req, TicketCountQuery), req.context.caller
        count = count_tickets(self.services.read_pool, caller, to_ticket_query(query, caller))
        respond(resp, TicketCount(count=count))
