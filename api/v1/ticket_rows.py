"""Reads the current state of a ticket, limited to what the caller may see."""

from __future__ import annotations

from msgspec import UNSET

from api.http.services import Services
from api.v1.shapes import found_ticket
from domain.access import Caller
from domain.errors import NotFound
from domain.ticket import Ticket
from projections.tickets import FoundTicket, NotYetProjected, get_ticket
from projections.views import TicketDetail


def visible_row(services: Services, caller: Caller, ticket_id: str) -> FoundTicket:
    """The ticket. Raises NotFound if it is absent, deleted or not visible to the caller."""
    row = _current_row(services, ticket_id)
    if row is None or row.is_deleted or not caller.may_see_ticket(row.property_id, row.requester_id):
        raise NotFound("ticket")
    return row


def visible_detail(services: Services, caller: Caller, row: FoundTicket) -> TicketDetail:
    """The detail with the addresses of its files and, for guests, without internal comments."""
    detail = row.detail
    detail.comments = [c for c in detail.comments if caller.role != "guest" or c.visibility == "public"]
    for comment in detail.comments:
        comment.visibility = UNSET
    for attachment in detail.attachments:
        attachment.url = services.file_url(attachment.id)
    return detail


def _current_row(services: Services, ticket_id: str) -> FoundTicket | None:
    """The ticket from the read tables or, if they still lag behind after a wait, from the log."""
    try:
        row = get_ticket(services.pool, ticket_id)
        if row is None or row.is_current:
            return row
        position = row.log_position
    except NotYetProjected as lag:
        position = lag.position
    services.visibility.wait_for(position)
    try:
        row = get_ticket(services.pool, ticket_id)
        if row is None or row.is_current:
            return row
    except NotYetProjected:
        pass
    ticket = services.store.find(Ticket, ticket_id)
    return None if ticket is None else found_ticket(services.pool, ticket)
