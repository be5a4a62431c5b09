"""The ticket a caller may see, as current as the log, in the shape they may see it in."""

from __future__ import annotations

from msgspec import UNSET

from api.http.services import Services
from api.v1.shapes import ticket_row
from domain.access import Caller
from domain.errors import NotFound
from domain.ticket import Ticket
from projections.tickets import NotYetProjected, TicketRow, get_ticket
from projections.views import TicketDetail


def visible_row(services: Services, caller: Caller, ticket_id: str) -> TicketRow:
    """The ticket's row, or NotFound when absent, deleted or outside the caller's sight."""
    row = _current_row(services, ticket_id)
    if row is None or row.is_deleted or not caller.may_see_ticket(row.property_id, row.requester_id):
        raise NotFound("ticket")
    return row


def shown_to(caller: Caller, row: TicketRow, services: Services) -> TicketDetail:
    """The detail as this caller may see it: guests see no internal comments; files get their address."""
    detail = row.detail
    detail.comments = [c for c in detail.comments if caller.role != "guest" or c.visibility == "public"]
    for comment in detail.comments:
        comment.visibility = UNSET
    for attachment in detail.attachments:
        attachment.url = services.file_url(attachment.id)
    return detail


def _current_row(services: Services, ticket_id: str) -> TicketRow | None:
    """What the read tables say or, where they lag behind the log even after a wait, what the log says."""
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
    return None if ticket is None else ticket_row(services.pool, ticket)
