"""What a client may ask of tickets that are there, and how each request is carried out.

Every handler checks in the order of the contract: can the caller see it (NotFound), may the role do
it (Forbidden), is it still the version the caller read (PreconditionFailed), are the values right
(Invalid). Then it decides, and saves; a lost race is decided again.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Caller, Context
from domain.errors import Details, Invalid, NotFound
from domain.property import Property
from domain.ticket import (
    Attachment,
    Priority,
    Status,
    Ticket,
    Visibility,
    require_may_change,
    require_may_comment,
)
from domain.user import User
from infrastructure.storage.event_store import EventStore, decide

UNKNOWN_PROPERTY = "No property with that id is within your reach."
UNKNOWN_UNIT = "The property has no unit with that id."
NOT_ASSIGNABLE = "No user with that id may work on this property."


_CHANGEABLE = (
    "title",
    "description",
    "status",
    "priority",
    "category",
    "assigned_to",
    "property_id",
    "unit_id",
)


class ChangeTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Fields left UNSET stay as they are. `expected_versions` comes from If-Match; None means any."""

    ticket_id: str
    expected_versions: frozenset[int] | None = None
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    category: str | UnsetType = UNSET
    assigned_to: str | UnsetType | None = UNSET
    property_id: str | UnsetType = UNSET
    unit_id: str | UnsetType | None = UNSET


class DeleteTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: str
    expected_versions: frozenset[int] | None = None


class RestoreTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: str


class CommentOnTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: str
    text: str
    visibility: Visibility = "public"


class AttachFile(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: str
    attachment: Attachment


def change_ticket(store: EventStore, command: ChangeTicket, context: Context) -> Ticket:
    """Change the given fields; fields that already hold the value record nothing."""

    def attempt() -> Ticket:
        ticket = visible_ticket(store, context.caller, command.ticket_id)
        if done := store.done_before(Ticket, ticket.id, context):
            return done
        require_may_change(context.caller, given_fields(command))
        ticket.require_version(command.expected_versions)
        if details := change_problems(store, command, ticket, context.caller):
            raise Invalid(details)
        ticket.change(_values(command), context)
        store.save(ticket)
        return ticket

    return decide(store, command.ticket_id, attempt)


def delete_ticket(store: EventStore, command: DeleteTicket, context: Context) -> Ticket:
    """Take a ticket out of sight; its history stays."""

    def attempt() -> Ticket:
        ticket = visible_ticket(store, context.caller, command.ticket_id)
        context.caller.require("manager", "delete tickets")
        ticket.require_version(command.expected_versions)
        ticket.delete(context)
        store.save(ticket)
        return ticket

    return decide(store, command.ticket_id, attempt)


def restore_ticket(store: EventStore, command: RestoreTicket, context: Context) -> Ticket:
    """Bring a deleted ticket back. Only an admin sees deleted tickets at all."""

    def attempt() -> Ticket:
        ticket = store.load(Ticket, command.ticket_id)
        caller = context.caller
        if not _sees(caller, ticket) or (ticket.is_deleted and caller.role != "admin"):
            raise NotFound("ticket")
        if done := store.done_before(Ticket, ticket.id, context):
            return done
        caller.require("admin", "restore tickets")
        ticket.restore(context)
        store.save(ticket)
        return ticket

    return decide(store, command.ticket_id, attempt)


def comment_on_ticket(store: EventStore, command: CommentOnTicket, context: Context) -> Ticket:
    """Add a comment; its id is the command's."""

    def attempt() -> Ticket:
        ticket = visible_ticket(store, context.caller, command.ticket_id)
        if done := store.done_before(Ticket, ticket.id, context):
            return done
        require_may_comment(context.caller, command.visibility)
        ticket.comment(context.command_id, command.text, command.visibility, context)
        store.save(ticket)
        return ticket

    return decide(store, command.ticket_id, attempt)


def attach_file(store: EventStore, command: AttachFile, context: Context) -> Ticket:
    """Record a file that is already kept in the attachment store."""

    def attempt() -> Ticket:
        ticket = visible_ticket(store, context.caller, command.ticket_id)
        if done := store.done_before(Ticket, ticket.id, context):
            return done
        ticket.attach(command.attachment, context)
        store.save(ticket)
        return ticket

    return decide(store, command.ticket_id, attempt)


def visible_ticket(store: EventStore, caller: Caller, ticket_id: str) -> Ticket:
    """The live ticket, or NotFound when it is absent, deleted or outside the caller's sight."""
    ticket = store.load(Ticket, ticket_id)
    if ticket.is_deleted or not _sees(caller, ticket):
        raise NotFound("ticket")
    return ticket


def given_fields(command: ChangeTicket) -> dict[str, object]:
    """The fields a change is asked for, by name."""
    fields = {name: getattr(command, name) for name in _CHANGEABLE}
    return {name: value for name, value in fields.items() if value is not UNSET}


def change_problems(store: EventStore, command: ChangeTicket, ticket: Ticket, caller: Caller) -> Details:
    """Why the ticket cannot be at the place, or in the hands, that are asked for."""
    property_id, unit_id = _place_after(ticket, command)
    assignee_id = ticket.assignee_id if command.assigned_to is UNSET else command.assigned_to
    details: Details = {}
    moved = (property_id, unit_id) != (ticket.property_id, ticket.unit_id)
    if moved:
        details = place_problems(store.find(Property, property_id), caller, unit_id)
    if (
        assignee_id is not None
        and (property_id, assignee_id) != (ticket.property_id, ticket.assignee_id)
        and "property_id" not in details
    ):
        assignee = store.find(User, assignee_id)
        if assignee is None or not assignee.may_work_on(property_id):
            details["assigned_to"] = [NOT_ASSIGNABLE]
    return details


def place_problems(property: Property | None, caller: Caller, unit_id: str | None) -> Details:
    """Why there can be no ticket at this place: the property that was asked for, and one of its units."""
    if property is None or not caller.reaches(property.id):
        return {"property_id": [UNKNOWN_PROPERTY]}
    if unit_id is not None and unit_id not in property.units:
        return {"unit_id": [UNKNOWN_UNIT]}
    return {}


def _sees(caller: Caller, ticket: Ticket) -> bool:
    return caller.may_see_ticket(ticket.property_id, ticket.requester_id)


def _place_after(ticket: Ticket, command: ChangeTicket) -> tuple[str, str | None]:
    property_id = ticket.property_id if command.property_id is UNSET else command.property_id
    unit_id = ticket.unit_id if command.unit_id is UNSET else command.unit_id
    return property_id, unit_id


def _values(command: ChangeTicket) -> dict[str, object]:
    """The wanted values by the names of the ticket's fields."""
    values = given_fields(command)
    if "assigned_to" in values:
        values["assignee_id"] = values.pop("assigned_to")
    return values
