"""Converts saved aggregates to the structs of answers. Names come from the read tables."""

from __future__ import annotations

from collections.abc import Mapping

from commands.tickets import NewComment
from domain.access import Caller, Context
from domain.comment import Comment
from domain.property import Address, Property
from domain.ticket import Ticket
from domain.times import whole_seconds
from domain.user import User
from infrastructure.storage.comment_log import PastComments
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from projections.tickets import FoundTicket, author_names, names_of
from projections.views import (
    AttachmentView,
    CommentView,
    Names,
    PropertyDetail,
    Reference,
    TicketDetail,
    TicketFields,
    TicketSummary,
    UnitView,
    UserDetail,
    shown_values,
)

UNITS_SHOWN = 1_000


def ticket_summary(ticket: Ticket, names: Names) -> TicketSummary:
    return TicketSummary(**shown_values(ticket, TicketFields), **names._asdict())


def known_names(store: EventStore, caller: Caller, ticket: Ticket) -> Names | None:
    """The number of a new ticket, and its names from the aggregates that the command has read.

    None unless this process has cached all of those aggregates, and the ticket has its first event only.
    """
    place = store.recall(Property, ticket.property_id)
    if ticket.requester_id == caller.principal_id:
        requester_name = caller.name
    elif requester := store.recall(User, ticket.requester_id):
        requester_name = requester.aggregate.name
    else:
        return None
    if place is None or ticket.version != 1:
        return None
    unit_id = ticket.unit_id
    return Names(
        number=ticket.position,
        property=Reference(ticket.property_id, place.aggregate.name),
        unit=None if unit_id is None else Reference(unit_id, place.aggregate.units.get(unit_id, unit_id)),
        requester=Reference(ticket.requester_id, requester_name),
        assigned_to=None,
    )


def found_ticket(pool: Pool, ticket: Ticket, comments: PastComments) -> FoundTicket:
    """The ticket as the read tables show it once they have reached its version."""
    names = names_of(pool, ticket)
    authors = author_names(pool, list({comment.author_id for comment in comments.newest}))
    attachments = [
        AttachmentView(**shown_values(file, AttachmentView), url="", size=file.size_bytes)
        for file in ticket.attachments
    ]
    return FoundTicket(
        version=ticket.version,
        names_changed=True,
        is_deleted=ticket.is_deleted,
        is_current=True,
        log_position=ticket.position,
        detail=TicketDetail(
            **shown_values(ticket, TicketFields),
            **names._asdict(),
            attachments=attachments,
            comments=[comment_view(each, authors) for each in comments.newest],
            comments_count=comments.count,
            allowed_statuses=[],
        ),
    )


def comment_view(comment: Comment, authors: Mapping[str, str]) -> CommentView:
    """`authors` are the names of authors by id; an id without a name is used as the name."""
    author = Reference(comment.author_id, authors.get(comment.author_id, comment.author_id))
    return CommentView(**shown_values(comment, CommentView), user=author)


def own_comment(sent: NewComment, ticket: Ticket, context: Context) -> CommentView:
    """The comment that this command has added to the ticket."""
    return CommentView(
        id=context.command_id,
        text=sent.text,
        user=Reference(context.caller.principal_id, context.caller.name),
        visibility=sent.visibility,
        created_at=whole_seconds(ticket.updated_at),
        edited_at=None,
    )


def user_detail(user: User, properties: list[Reference]) -> UserDetail:
    return UserDetail(**shown_values(user, UserDetail), properties=properties, active=user.is_active)


def property_detail(place: Property, *, active_tickets_count: int) -> PropertyDetail:
    unknown_address = Address(street="", city="", state="", zip="", country="")
    units = sorted(place.units.items(), key=lambda unit: (unit[1], unit[0]))
    return PropertyDetail(
        id=place.id,
        name=place.name,
        address=place.address or unknown_address,
        units_count=len(units),
        active_tickets_count=active_tickets_count,
        external_ids=place.external_ids,
        units=[unit_view(place, unit_id) for unit_id, _ in units[:UNITS_SHOWN]],
    )


def unit_view(place: Property, unit_id: str) -> UnitView:
    return UnitView(id=unit_id, name=place.units[unit_id], external_ids=place.external_ids_of_unit(unit_id))
