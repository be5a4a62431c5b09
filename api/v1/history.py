"""/v1/tickets/{id}/history: the events of one ticket."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.paging import ListQuery, read_cursor, respond_with_page
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from api.v1.ticket_rows import readable_ticket
from projections.history import HistoryQuery, ticket_history
from projections.ticket_filters import Order
from projections.views import HistoryEntry


class HistoryPageQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order` is the order of the versions: `asc` begins with the opening of the ticket."""

    order: Order = "asc"


class TicketHistory(Resource):
    """Lists the events of a ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read the history of a ticket",
            description="One entry for each event, by version, read from the log: who caused it, with which"
            " key, in which request, and what it changed. Before the opening every field counts as null, so"
            " all changes, applied in order, result in the ticket. An added comment or file has a separate"
            " name, `comments.ID` or `attachments.ID`. The scope `audit:read` is required for the history of"
            " a deleted ticket, and for the texts of edited and removed comments and the names of removed"
            " files; without it they are null. An imported event has `imported`: who imported it, when, and"
            " from which other system; its time and actor are those of the other system.",
            roles="staff and above, for tickets of their properties",
            scope="audit:read",
            or_scope="tickets:read",
            query=HistoryPageQuery,
            answer=HistoryEntry,
            answer_example=examples.HISTORY,
            is_list=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        caller = req.context.caller
        ticket = readable_ticket(self.services.store, caller, ticket_id)
        query = read_query(req, HistoryPageQuery)
        after = read_cursor(query, self.services.signing_key)
        wanted = HistoryQuery(order=query.order, limit=query.limit, offset=query.offset, after=after)
        page = ticket_history(
            self.services.pool, self.services.store, ticket, wanted, is_auditor=caller.is_auditor
        )
        respond_with_page(req, resp, page, query, self.services)
