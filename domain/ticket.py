"""A maintenance ticket: what can happen to it, and what it allows."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, get_args

import msgspec

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict

Status = Literal["open", "in_progress", "closed"]
Priority = Literal["low", "medium", "high", "critical"]
Visibility = Literal["public", "internal"]

STATUSES: tuple[Status, ...] = get_args(Status)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
ATTACHMENTS_PER_TICKET = 20
COMMENTS_PER_TICKET = 10_000


class TicketOpened(DomainEvent, frozen=True, tag="ticket.opened"):
    title: str
    description: str
    priority: Priority
    category: str
    property_id: str
    unit_id: str | None
    requester_id: str


class TicketTitleChanged(DomainEvent, frozen=True, tag="ticket.title_changed"):
    title: str


class TicketDescriptionChanged(DomainEvent, frozen=True, tag="ticket.description_changed"):
    description: str


class TicketCategoryChanged(DomainEvent, frozen=True, tag="ticket.category_changed"):
    category: str


class TicketPriorityChanged(DomainEvent, frozen=True, tag="ticket.priority_changed"):
    priority: Priority


class TicketStatusChanged(DomainEvent, frozen=True, tag="ticket.status_changed"):
    status: Status


class TicketAssigned(DomainEvent, frozen=True, tag="ticket.assigned"):
    assignee_id: str


class TicketUnassigned(DomainEvent, frozen=True, tag="ticket.unassigned"):
    pass


class TicketMoved(DomainEvent, frozen=True, tag="ticket.moved"):
    """The ticket belongs to another property or unit now."""

    property_id: str
    unit_id: str | None


class TicketCommented(DomainEvent, frozen=True, tag="ticket.commented"):
    comment_id: str
    text: str
    visibility: Visibility
    author_id: str


class TicketFileAttached(DomainEvent, frozen=True, tag="ticket.file_attached"):
    attachment_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str


class TicketDeleted(DomainEvent, frozen=True, tag="ticket.deleted"):
    pass


class TicketRestored(DomainEvent, frozen=True, tag="ticket.restored"):
    pass


TicketEvent = (
    TicketOpened
    | TicketTitleChanged
    | TicketDescriptionChanged
    | TicketCategoryChanged
    | TicketPriorityChanged
    | TicketStatusChanged
    | TicketAssigned
    | TicketUnassigned
    | TicketMoved
    | TicketCommented
    | TicketFileAttached
    | TicketDeleted
    | TicketRestored
)


class Comment(msgspec.Struct, frozen=True):
    id: str
    text: str
    visibility: Visibility
    author_id: str
    created_at: datetime


class Attachment(msgspec.Struct, frozen=True):
    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


class Ticket(Aggregate):
    kind: ClassVar[str] = "ticket"
    first_event: ClassVar[type[DomainEvent]] = TicketOpened
    title: str = ""
    description: str = ""
    status: Status = "open"
    priority: Priority = "medium"
    category: str = ""
    property_id: str = ""
    unit_id: str | None = None
    requester_id: str = ""
    assignee_id: str | None = None
    is_deleted: bool = False
    comments: tuple[Comment, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @classmethod
    def open(
        cls,
        ticket_id: str,
        context: Context,
        *,
        title: str,
        description: str,
        priority: Priority,
        category: str,
        property_id: str,
        unit_id: str | None,
        requester_id: str,
    ) -> Ticket:
        ticket = cls(id=ticket_id)
        ticket.record(
            TicketOpened,
            context,
            title=title,
            description=description,
            priority=priority,
            category=category,
            property_id=property_id,
            unit_id=unit_id,
            requester_id=requester_id,
        )
        return ticket

    def change_title(self, title: str, context: Context) -> None:
        if title != self.title:
            self.record(TicketTitleChanged, context, title=title)

    def change_description(self, description: str, context: Context) -> None:
        if description != self.description:
            self.record(TicketDescriptionChanged, context, description=description)

    def change_category(self, category: str, context: Context) -> None:
        if category != self.category:
            self.record(TicketCategoryChanged, context, category=category)

    def change_priority(self, priority: Priority, context: Context) -> None:
        if priority != self.priority:
            self.record(TicketPriorityChanged, context, priority=priority)

    def change_status(self, status: Status, context: Context) -> None:
        """Any status may follow any other; from closed it is a reopening."""
        if status != self.status:
            self.record(TicketStatusChanged, context, status=status)

    def assign(self, assignee_id: str | None, context: Context) -> None:
        """Give the ticket to someone, or to no one with None."""
        if assignee_id == self.assignee_id:
            return
        if assignee_id is None:
            self.record(TicketUnassigned, context)
        else:
            self.record(TicketAssigned, context, assignee_id=assignee_id)

    def move(self, property_id: str, unit_id: str | None, context: Context) -> None:
        if (property_id, unit_id) != (self.property_id, self.unit_id):
            self.record(TicketMoved, context, property_id=property_id, unit_id=unit_id)

    def comment(self, comment_id: str, text: str, visibility: Visibility, context: Context) -> None:
        if len(self.comments) >= COMMENTS_PER_TICKET:
            raise Conflict(f"A ticket holds at most {COMMENTS_PER_TICKET} comments; open a new ticket.")
        self.record(
            TicketCommented,
            context,
            comment_id=comment_id,
            text=text,
            visibility=visibility,
            author_id=context.caller.principal_id,
        )

    def require_room_for_a_file(self) -> None:
        if len(self.attachments) >= ATTACHMENTS_PER_TICKET:
            raise Conflict(f"A ticket holds at most {ATTACHMENTS_PER_TICKET} attachments.")

    def attach(self, attachment: Attachment, context: Context) -> None:
        self.require_room_for_a_file()
        self.record(
            TicketFileAttached,
            context,
            attachment_id=attachment.id,
            filename=attachment.filename,
            content_type=attachment.content_type,
            size_bytes=attachment.size_bytes,
            sha256=attachment.sha256,
        )

    def delete(self, context: Context) -> None:
        if not self.is_deleted:
            self.record(TicketDeleted, context)

    def restore(self, context: Context) -> None:
        if self.is_deleted:
            self.record(TicketRestored, context)

    def apply(self, event: TicketEvent) -> None:
        match event:
            case TicketOpened():
                self.title = event.title
                self.description = event.description
                self.priority = event.priority
                self.category = event.category
                self.property_id = event.property_id
                self.unit_id = event.unit_id
                self.requester_id = event.requester_id
            case TicketTitleChanged():
                self.title = event.title
            case TicketDescriptionChanged():
                self.description = event.description
            case TicketCategoryChanged():
                self.category = event.category
            case TicketPriorityChanged():
                self.priority = event.priority
            case TicketStatusChanged():
                self.status = event.status
            case TicketAssigned():
                self.assignee_id = event.assignee_id
            case TicketUnassigned():
                self.assignee_id = None
            case TicketMoved():
                self.property_id = event.property_id
                self.unit_id = event.unit_id
            case TicketCommented():
                comment = Comment(
                    event.comment_id, event.text, event.visibility, event.author_id, event.occurred_at
                )
                self.comments = (*self.comments, comment)
            case TicketFileAttached():
                attachment = Attachment(
                    event.attachment_id,
                    event.filename,
                    event.content_type,
                    event.size_bytes,
                    event.sha256,
                    event.occurred_at,
                )
                self.attachments = (*self.attachments, attachment)
            case TicketDeleted():
                self.is_deleted = True
            case TicketRestored():
                self.is_deleted = False
