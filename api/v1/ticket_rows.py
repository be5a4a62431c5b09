"""Reads the current state of a ticket, limited to what the caller may see."""

from __future__ import annotations

from msgspec import UNSET

from api.http.services import Services
from api.v1.shapes import found_ticket
from domain.access import Caller
from domain.errors import NotFound
from domain.ticket import Ticket
from infrastructure.storage.comment_log import past_comments
from projections.tickets import COMMENTS_SHOWN, FoundTicket, NotYetProjected, get_ticket
from projections.views import TicketDetail


def visible_row(
    services: Services, caller: Caller, ticket_id: str, *, comments: int = COMMENTS_SHOWN
) -> FoundTicket:
    """The ticket with its newest comments, without internal ones for guests. `comments` is COMMENTS_SHOWN or
    0.

    Raises NotFound if it is absent, deleted or not visible to the caller.
    """
    row = _current_row(services, ticket_id, caller.role != "guest", comments)
    if row is None or row.is_deleted or not caller.may_see_ticket(row.property_id, row.requester_id):
        raise NotFound("ticket")
    return row


def shown_detail(services: Services, row: FoundTicket) -> TicketDetail:
    """The detail as the API shows it, with the addresses of its files."""
    detail = row.detail
    for comment in detail.comments:
        comment.visibility = comment.edited_at = UNSET
    for attachment in detail.attachments:
        attachment.url = services.file_url(attachment.id)
    return detail


def _current_row(
    services: Services, ticket_id: str, include_internal: bool, comments: int
) -> FoundTicket | None:
    """The ticket from the read tables or, if they still lag behind after a wait, from the log."""

    def read() -> FoundTicket | None:
        return get_ticket(services.pool, ticket_id, include_internal=include_internal, comments=comments)

    try:
        row = read()
        if row is None or row.is_current:
            return row
        position = row.log_position
    except NotYetProjected as lag:
        position = lag.position
    services.visibility.wait_for(position)
    try:
        row = read()
        if row is None or row.is_current:
            return row
    except NotYetProjected:
        pass
    ticket = services.store.find(Ticket, ticket_id)
    if ticket is None:
        return None
    found = past_comments(
        services.store, ticket, ticket.version, include_internal=include_internal, limit=comments
    )
    return found_ticket(services.pool, ticket, found)
