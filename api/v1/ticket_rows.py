"""Reads the current state of a ticket, limited to what the caller may see."""

from __future__ import annotations

from msgspec import UNSET

from api.http.services import Services
from api.v1.shapes import found_ticket
from domain.access import Caller
from domain.errors import NotFound
from domain.ticket import Ticket
from infrastructure.storage.comment_log import past_comments
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.replica import require_position
from projections.history import HistoryQuery, ticket_history
from projections.included import COMMENTS_SHOWN, ENTRIES_SHOWN
from projections.tickets import FoundTicket, NotYetProjected, get_ticket
from projections.views import AttachmentView, CommentView, HistoryEntry, TicketDetail, TicketSummary


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
    _show(services, row.detail.attachments, row.detail.comments)
    return row.detail


def shown_summary(services: Services, ticket: TicketSummary) -> TicketSummary:
    """A ticket of a list as the API shows it, with what is included."""
    _show(services, ticket.attachments or [], ticket.comments or [])
    return ticket


def newest_history(services: Services, caller: Caller, ticket_id: str) -> list[HistoryEntry]:
    """The newest entries of the history of a ticket that the caller may see, the oldest first. Raises
    Forbidden for guests."""
    ticket = readable_ticket(services.store, caller, ticket_id)
    query = HistoryQuery(order="desc", limit=ENTRIES_SHOWN)
    page = ticket_history(services.pool, services.store, ticket, query, is_auditor=caller.is_auditor)
    return page.items[::-1]


def readable_ticket(store: EventStore, caller: Caller, ticket_id: str) -> Ticket:
    """The ticket, if the caller may read its history."""
    ticket = store.load(Ticket, ticket_id)
    if not caller.may_see_ticket(ticket.property_id, ticket.requester_id):
        raise NotFound("ticket")
    if ticket.is_deleted and not caller.is_auditor:
        raise NotFound("ticket")
    require_history_reader(caller)
    return ticket


def require_history_reader(caller: Caller) -> None:
    """Raise Forbidden for guests, because histories contain internal comments."""
    caller.require("staff", "read the history of tickets")


def _show(services: Services, files: list[AttachmentView], comments: list[CommentView]) -> None:
    for comment in comments:
        comment.visibility = comment.edited_at = UNSET
    for file in files:
        file.url = services.file_url(file.id)


def _current_row(
    services: Services, ticket_id: str, include_internal: bool, comments: int
) -> FoundTicket | None:
    """The ticket from the read tables or, if they still lag behind after a wait, from the log."""

    def read() -> FoundTicket | None:
        pool = services.read_pool
        return get_ticket(pool, ticket_id, include_internal=include_internal, comments=comments)

    try:
        row = read()
        if row is None or row.is_current:
            return row
        position = row.log_position
    except NotYetProjected as lag:
        position = lag.position
    if services.visibility.wait_for(position):
        require_position(position)
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
