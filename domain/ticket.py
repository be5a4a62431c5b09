"""A maintenance ticket: its events, and the rules for changing it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, get_args

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.attachment import Attachment
from domain.comment import Comment, Visibility
from domain.errors import Conflict, NotFound

Status = Literal["open", "in_progress", "closed"]
ActiveStatus = Literal["open", "in_progress"]
Priority = Literal["low", "medium", "high", "critical"]

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
    tags: tuple[str, ...] = ()
    external_ids: dict[str, str] = {}


class TicketTitleChanged(DomainEvent, frozen=True, tag="ticket.title_changed"):
    title: str


class TicketDescriptionChanged(DomainEvent, frozen=True, tag="ticket.description_changed"):
    description: str


class TicketCategoryChanged(DomainEvent, frozen=True, tag="ticket.category_changed"):
    category: str


class TicketPriorityChanged(DomainEvent, frozen=True, tag="ticket.priority_changed"):
    priority: Priority


class TicketTagsChanged(DomainEvent, frozen=True, tag="ticket.tags_changed"):
    """The ticket has these tags and no others."""

    tags: tuple[str, ...]


class TicketExternalIdsChanged(DomainEvent, frozen=True, tag="ticket.external_ids_changed"):
    """The ticket has these ids in other systems, by source, and no others."""

    external_ids: dict[str, str]


class TicketStatusChanged(DomainEvent, frozen=True, tag="ticket.status_changed"):
    """A change between open and in_progress. Logs written before `ticket.resolved` and `ticket.reopened`
    existed also use it for closing and reopening."""

    status: Status


class TicketResolved(DomainEvent, frozen=True, tag="ticket.resolved"):
    """The ticket was closed."""


class TicketReopened(DomainEvent, frozen=True, tag="ticket.reopened"):
    """The closed ticket was reopened with the status `status`."""

    status: ActiveStatus


class TicketAssigned(DomainEvent, frozen=True, tag="ticket.assigned"):
    assignee_id: str


class TicketUnassigned(DomainEvent, frozen=True, tag="ticket.unassigned"):
    pass


class TicketMoved(DomainEvent, frozen=True, tag="ticket.moved"):
    """The ticket belongs to another property or unit."""

    property_id: str
    unit_id: str | None


class TicketRequesterChanged(DomainEvent, frozen=True, tag="ticket.requester_changed"):
    requester_id: str
    former_requester_id: str


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


class TicketCommentEdited(DomainEvent, frozen=True, tag="ticket.comment_edited"):
    """The text of a comment was replaced. The event of the version `replaced_version` has the former text."""

    comment_id: str
    text: str
    visibility: Visibility
    author_id: str
    commented_at: datetime
    replaced_version: int


class TicketCommentRemoved(DomainEvent, frozen=True, tag="ticket.comment_removed"):
    """A comment was removed. The event of the version `replaced_version` has its last text."""

    comment_id: str
    visibility: Visibility
    author_id: str
    replaced_version: int


class TicketFileRemoved(DomainEvent, frozen=True, tag="ticket.file_removed"):
    """A file was removed. Its content is deleted; its name and hash stay in `ticket.file_attached`."""

    attachment_id: str


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
    | TicketTagsChanged
    | TicketExternalIdsChanged
    | TicketStatusChanged
    | TicketResolved
    | TicketReopened
    | TicketAssigned
    | TicketUnassigned
    | TicketMoved
    | TicketRequesterChanged
    | TicketCommented
    | TicketFileAttached
    | TicketCommentEdited
    | TicketCommentRemoved
    | TicketFileRemoved
    | TicketDeleted
    | TicketRestored
)


class Ticket(Aggregate):
    """It has the number of its comments, but not the comments: those could have any size. domain/comments.py
    finds them in the events. `tags` is sorted and without duplicates."""

    kind: ClassVar[str] = "ticket"
    first_event: ClassVar[type[DomainEvent]] = TicketOpened
    field_changes: ClassVar[tuple[type[DomainEvent], ...]] = (
        TicketTitleChanged,
        TicketDescriptionChanged,
        TicketCategoryChanged,
        TicketPriorityChanged,
        TicketTagsChanged,
        TicketExternalIdsChanged,
        TicketMoved,
    )
    has_stored_snapshots: ClassVar[bool] = True
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
    comments_count: int = 0
    internal_comments_count: int = 0
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()
    external_ids: dict[str, str] = {}

    @classmethod
    def open(cls, ticket_id: str, context: Context, **facts: Any) -> Ticket:
        """A new ticket; `facts` are the own fields of TicketOpened."""
        return cls.begin(ticket_id, context, **_with_sorted_tags(facts))

    def change(self, values: Mapping[str, Any], context: Context) -> None:
        """Record an event for each change that `values` makes; see Aggregate.change."""
        super().change(_with_sorted_tags(values), context)
        self._change_requester(values.get("requester_id", self.requester_id), context)
        if "assignee_id" in values:
            self._assign(values["assignee_id"], context)
        if "status" in values:
            self._change_status(values["status"], context)

    def comment(self, comment_id: str, text: str, visibility: Visibility, context: Context) -> None:
        if self.comments_count >= COMMENTS_PER_TICKET:
            raise Conflict(f"A ticket holds at most {COMMENTS_PER_TICKET} comments; open a new ticket.")
        self.record(
            TicketCommented,
            context,
            comment_id=comment_id,
            text=text,
            visibility=visibility,
            author_id=context.caller.principal_id,
        )

    def edit_comment(self, comment: Comment, text: str, context: Context) -> None:
        if text != comment.text:
            at = comment.created_at
            self.record(TicketCommentEdited, context, text=text, commented_at=at, **_facts(comment))

    def remove_comment(self, comment: Comment, context: Context) -> None:
        self.record(TicketCommentRemoved, context, **_facts(comment))

    def require_room_for_files(self, number: int = 1) -> None:
        if len(self.attachments) + number > ATTACHMENTS_PER_TICKET:
            raise Conflict(f"A ticket holds at most {ATTACHMENTS_PER_TICKET} attachments.")

    def attach(self, attachment: Attachment, context: Context) -> None:
        self.require_room_for_files()
        self.record(
            TicketFileAttached,
            context,
            attachment_id=attachment.id,
            filename=attachment.filename,
            content_type=attachment.content_type,
            size_bytes=attachment.size_bytes,
            sha256=attachment.sha256,
        )

    def find_file(self, attachment_id: str) -> Attachment:
        """The file. Raises NotFound if the ticket does not have it, or not any more."""
        for attachment in self.attachments:
            if attachment.id == attachment_id:
                return attachment
        raise NotFound("file")

    def remove_file(self, attachment: Attachment, context: Context) -> None:
        self.record(TicketFileRemoved, context, attachment_id=attachment.id)

    def delete(self, context: Context) -> None:
        if not self.is_deleted:
            self.record(TicketDeleted, context)

    def restore(self, context: Context) -> None:
        if self.is_deleted:
            self.record(TicketRestored, context)

    def apply(self, event: TicketEvent) -> None:
        # `type(...) is` because a failing isinstance check of msgspec structs takes ten times as long.
        if type(event) is TicketResolved:
            self.status = "closed"
        elif type(event) is TicketUnassigned:
            self.assignee_id = None
        elif type(event) is TicketRequesterChanged:
            self.requester_id = event.requester_id
        elif type(event) is TicketDeleted:
            self.is_deleted = True
        elif type(event) is TicketRestored:
            self.is_deleted = False
        elif type(event) is TicketCommented:
            self._count_comment(event.visibility, 1)
        elif type(event) is TicketCommentRemoved:
            self._count_comment(event.visibility, -1)
        elif type(event) is TicketFileAttached:
            self.attachments = (*self.attachments, _attachment(event))
        elif type(event) is TicketFileRemoved:
            self.attachments = tuple(file for file in self.attachments if file.id != event.attachment_id)
        elif type(event) is not TicketCommentEdited:
            self.copy_fields(event)

    def _change_requester(self, requester_id: str, context: Context) -> None:
        if requester_id != self.requester_id:
            former = {"former_requester_id": self.requester_id}
            self.record(TicketRequesterChanged, context, requester_id=requester_id, **former)

    def _assign(self, assignee_id: str | None, context: Context) -> None:
        if assignee_id == self.assignee_id:
            return
        if assignee_id is None:
            self.record(TicketUnassigned, context)
        else:
            self.record(TicketAssigned, context, assignee_id=assignee_id)

    def _count_comment(self, visibility: Visibility, change: int) -> None:
        self.comments_count += change
        if visibility == "internal":
            self.internal_comments_count += change

    def _change_status(self, status: Status, context: Context) -> None:
        """Record a change of status. Any status may follow any other; closing and reopening have separate
        event types."""
        if status == self.status:
            return
        if status == "closed":
            self.record(TicketResolved, context)
        elif self.status == "closed":
            self.record(TicketReopened, context, status=status)
        else:
            self.record(TicketStatusChanged, context, status=status)


def _facts(comment: Comment) -> dict[str, Any]:
    """The facts that the events of editing and removing a comment have in common."""
    return {
        "comment_id": comment.id,
        "visibility": comment.visibility,
        "author_id": comment.author_id,
        "replaced_version": comment.text_version,
    }


def _attachment(event: TicketFileAttached) -> Attachment:
    facts = (event.filename, event.content_type, event.size_bytes, event.sha256)
    return Attachment(event.attachment_id, *facts, event.occurred_at, event.actor.principal_id)


def _with_sorted_tags(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `tags`, if given, sorted and without duplicates."""
    if "tags" not in values:
        return dict(values)
    return {**values, "tags": tuple(sorted(set(values["tags"])))}
