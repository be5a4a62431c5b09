"""From an aggregate just saved to the shape a client reads. Names come from the read tables."""

from __future__ import annotations

from domain.access import Caller
from domain.property import Address, Property
from domain.ticket import Ticket
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from projections.tickets import Names, TicketRow, author_names, names_of
from projections.views import (
    AttachmentView,
    CommentView,
    PropertyDetail,
    Reference,
    TicketDetail,
    TicketSummary,
    UnitView,
    UserDetail,
    whole_seconds,
)

UNITS_SHOWN = 1_000


def ticket_summary(ticket: Ticket, names: Names) -> TicketSummary:
    return TicketSummary(
        id=ticket.id,
        title=ticket.title,
        description=ticket.description,
        status=ticket.status,
        priority=ticket.priority,
        category=ticket.category,
        created_at=whole_seconds(ticket.created_at),
        updated_at=whole_seconds(ticket.updated_at),
        property=names.property,
        unit=names.unit,
        requester=names.requester,
        assigned_to=names.assigned_to,
    )


def known_names(store: EventStore, caller: Caller, ticket: Ticket) -> Names | None:
    """The names in a ticket just opened, from what the command has read to judge it; None when that is no
    longer at hand, or not all of it."""
    place = store.recall(Property, ticket.property_id)
    if ticket.requester_id == caller.principal_id:
        requester_name = caller.name
    elif requester := store.recall(User, ticket.requester_id):
        requester_name = requester.aggregate.name
    else:
        return None
    if place is None or ticket.assignee_id is not None:
        return None
    unit_id = ticket.unit_id
    return Names(
        property=Reference(ticket.property_id, place.aggregate.name),
        unit=None if unit_id is None else Reference(unit_id, place.aggregate.units.get(unit_id, unit_id)),
        requester=Reference(ticket.requester_id, requester_name),
        assigned_to=None,
    )


def ticket_row(pool: Pool, ticket: Ticket) -> TicketRow:
    """The row the read tables will hold, made from the aggregate, for when they lag behind the log."""
    names = names_of(
        pool,
        property_id=ticket.property_id,
        unit_id=ticket.unit_id,
        requester_id=ticket.requester_id,
        assignee_id=ticket.assignee_id,
    )
    authors = author_names(pool, [comment.author_id for comment in ticket.comments])
    comments = [
        CommentView(
            id=comment.id,
            text=comment.text,
            user=Reference(comment.author_id, authors.get(comment.author_id, comment.author_id)),
            visibility=comment.visibility,
            created_at=whole_seconds(comment.created_at),
        )
        for comment in ticket.comments
    ]
    attachments = [
        AttachmentView(
            id=file.id,
            filename=file.filename,
            url="",
            size=file.size_bytes,
            content_type=file.content_type,
            created_at=whole_seconds(file.created_at),
        )
        for file in ticket.attachments
    ]
    summary = ticket_summary(ticket, names)
    shallow = {name: getattr(summary, name) for name in summary.__struct_fields__}
    return TicketRow(
        version=ticket.version,
        names_changed=True,
        is_deleted=ticket.is_deleted,
        is_current=True,
        log_position=ticket.position,
        property_id=ticket.property_id,
        requester_id=ticket.requester_id,
        detail=TicketDetail(**shallow, attachments=attachments, comments=comments),
    )


def user_detail(user: User, properties: list[Reference]) -> UserDetail:
    return UserDetail(
        id=user.id,
        name=user.name,
        email=user.email,
        phone=user.phone,
        role=user.role,
        created_at=whole_seconds(user.created_at),
        updated_at=whole_seconds(user.updated_at),
        properties=properties,
        preferences=user.preferences,
    )


def property_detail(property: Property, *, active_tickets_count: int) -> PropertyDetail:
    address = property.address or Address(street="", city="", state="", zip="", country="")
    units = sorted(property.units.items(), key=lambda unit: (unit[1], unit[0]))
    return PropertyDetail(
        id=property.id,
        name=property.name,
        address=address,
        units_count=len(units),
        active_tickets_count=active_tickets_count,
        units=[UnitView(id=unit_id, name=name) for unit_id, name in units[:UNITS_SHOWN]],
    )
