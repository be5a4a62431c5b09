"""/v1/tickets/{id}/history: the events of one ticket."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.paging import PageQuery, read_cursor, respond_with_page
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from domain.access import Caller
from domain.errors import NotFound
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from projections.history import HistoryEntry, HistoryQuery, ticket_history
from projections.ticket_filters import Order


class HistoryPageQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order` is the order of the versions: `asc` begins with the opening of the ticket."""

    order: Order = "asc"
    cursor: str | None = None


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
            " files; without it they are null.",
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


def readable_ticket(store: EventStore, caller: Caller, ticket_id: str) -> Ticket:
    """The ticket, if the caller may read its history. Guests may not, because it contains internal
    comments."""
    ticket = store.load(Ticket, ticket_id)
    if not caller.may_see_ticket(ticket.property_id, ticket.requester_id):
        raise NotFound("ticket")
    if ticket.is_deleted and not caller.is_auditor:
        raise NotFound("ticket")
    caller.require("staff", "read the history of tickets")
    return ticket
