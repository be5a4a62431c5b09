"""The request bodies of tickets, and the commands that change existing tickets.

commands/ticket_opening.py contains the command that opens a ticket.

Every command refuses in the same order: the caller may not see the ticket (NotFound), the role does not allow
the change (Forbidden), the caller expects another version (PreconditionFailed), a value is wrong (Invalid).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from commands.deciding import change
from commands.external_ids import ExternalIds
from commands.values import Values, given_values
from domain.access import Caller, Context
from domain.attachment import Attachment
from domain.comment import Visibility
from domain.errors import Details, NotFound
from domain.external_ids import external_id_problems, merged
from domain.property import Property
from domain.text import Category, ChangedExternalIds, CommentText, Description, GivenExternalIds, Tags, Title
from domain.ticket import Priority, Status, Ticket
from domain.ticket_rights import require_may_change, require_may_comment
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement

UNKNOWN_PROPERTY = "No property with that id is within your reach."
UNKNOWN_UNIT = "The property has no unit with that id."
NOT_A_REQUESTER = "No active user of the property with that id is within your reach."
NOT_ASSIGNABLE = "No user with that id may work on this property."


class NewTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST. Only managers and admins may give `requester_id`; by default it is the caller. Guests
    may give no `tags` and no `external_ids`."""

    title: Title
    description: Description = ""
    priority: Priority = "medium"
    category: Category = "general"
    property_id: str
    unit_id: str | None = None
    requester_id: str | UnsetType = UNSET
    tags: Tags = ()
    external_ids: GivenExternalIds = {}


class TicketChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. An absent field stays as it is; null clears it. `tags` replaces all tags, and
    `external_ids` only the ids of the given sources."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    assigned_to: str | UnsetType | None = UNSET
    unit_id: str | UnsetType | None = UNSET
    property_id: str | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    external_ids: ChangedExternalIds | UnsetType = UNSET


class TicketValues(TicketChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT. An absent field of an existing ticket stays as it is; a new ticket, which needs
    `title` and `property_id`, gets the defaults of POST. A PUT cannot change the requester of an existing
    ticket."""

    requester_id: str | UnsetType = UNSET


class TicketEdit(TicketChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of the panel's form: those of PATCH, and the requester, which no request of the API
    changes."""

    requester_id: str | UnsetType = UNSET


class NewComment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST. Guests never see internal comments."""

    text: CommentText
    visibility: Visibility = "public"


def change_ticket(
    store: EventStore,
    ticket_id: str,
    values: Values[TicketChanges],
    context: Context,
    expected_versions: frozenset[int] | None = None,
) -> Ticket:
    """Change the given fields; record no event for a field that already has the given value.

    `expected_versions` are the versions of If-Match; None allows every version. Raises ExternalIdTaken.
    """
    caller = context.caller

    def decide(ticket: Ticket) -> list[Statement]:
        require_may_change(caller, ticket, values.fields)
        ticket.require_version(expected_versions)
        changes = values.read(lambda given: change_problems(store, ticket, given, caller))
        return record_changes(ticket, given_values(changes), context, external_ids)

    with ExternalIds(store, caller, "ticket") as external_ids:
        return change(store, ticket_id, context, lambda: visible_ticket(store, caller, ticket_id), decide)


def record_changes(
    ticket: Ticket, changes: Mapping[str, Any], context: Context, external_ids: ExternalIds
) -> list[Statement]:
    """Record the changes, which have the names of TicketChanges. Returns the statements that commit with
    them."""
    wanted = {"assignee_id" if name == "assigned_to" else name: value for name, value in changes.items()}
    before = ticket.external_ids
    if "external_ids" in wanted:
        wanted["external_ids"] = merged(before, wanted["external_ids"])
    ticket.change(wanted, context)
    return external_ids.claim(ticket.id, before, ticket.external_ids)


def delete_ticket(
    store: EventStore, ticket_id: str, context: Context, expected_versions: frozenset[int] | None = None
) -> Ticket:
    """Delete a ticket: no list shows it any more. Its history stays."""
    caller = context.caller

    def decide(ticket: Ticket) -> None:
        caller.require("manager", "delete tickets")
        ticket.require_version(expected_versions)
        ticket.delete(context)

    return change(store, ticket_id, context, lambda: visible_ticket(store, caller, ticket_id), decide)


def restore_ticket(store: EventStore, ticket_id: str, context: Context) -> Ticket:
    """Restore a deleted ticket. Only admins see deleted tickets."""
    caller = context.caller

    def find() -> Ticket:
        ticket = store.load(Ticket, ticket_id)
        if not _may_see(caller, ticket) or (ticket.is_deleted and caller.role != "admin"):
            raise NotFound("ticket")
        return ticket

    def decide(ticket: Ticket) -> None:
        caller.require("admin", "restore tickets")
        ticket.restore(context)

    return change(store, ticket_id, context, find, decide)


def comment_on_ticket(
    store: EventStore, ticket_id: str, values: Values[NewComment], context: Context
) -> Ticket:
    """Add a comment. Its id is the command id."""
    caller = context.caller

    def decide(ticket: Ticket) -> None:
        require_may_comment(caller, values.fields.get("visibility"))
        new = values.read()
        ticket.comment(context.command_id, new.text, new.visibility, context)

    return change(store, ticket_id, context, lambda: visible_ticket(store, caller, ticket_id), decide)


def attach_file(store: EventStore, ticket_id: str, attachment: Attachment, context: Context) -> Ticket:
    """Attach a file that is already in the attachment store."""
    return change(
        store,
        ticket_id,
        context,
        lambda: visible_ticket(store, context.caller, ticket_id),
        lambda ticket: ticket.attach(attachment, context),
    )


def visible_ticket(store: EventStore, caller: Caller, ticket_id: str) -> Ticket:
    """The ticket. Raises NotFound when it does not exist, is deleted, or the caller may not see it."""
    ticket = store.load(Ticket, ticket_id)
    if ticket.is_deleted or not _may_see(caller, ticket):
        raise NotFound("ticket")
    return ticket


def place_problems(place: Property | None, caller: Caller, unit_id: str | None) -> Details:
    """The reasons why a ticket cannot belong to this property and unit. `place` None: the property does not
    exist."""
    if place is None or not caller.reaches(place.id):
        return {"property_id": [UNKNOWN_PROPERTY]}
    if unit_id is not None and unit_id not in place.units:
        return {"unit_id": [UNKNOWN_UNIT]}
    return {}


def change_problems(store: EventStore, ticket: Ticket, given: Mapping[str, Any], caller: Caller) -> Details:
    """The reasons why the ticket cannot get the property, unit, assignee, requester or ids in the given
    fields."""
    property_id = given.get("property_id", ticket.property_id)
    unit_id = given.get("unit_id", ticket.unit_id)
    assignee_id = given.get("assigned_to", ticket.assignee_id)
    details: Details = {}
    if (property_id, unit_id) != (ticket.property_id, ticket.unit_id):
        details = place_problems(store.find(Property, property_id), caller, unit_id)
    is_new = (property_id, assignee_id) != (ticket.property_id, ticket.assignee_id)
    if is_new and "property_id" not in details:
        details |= assignee_problems(store, property_id, assignee_id)
    requester_id = given.get("requester_id", ticket.requester_id)
    if requester_id != ticket.requester_id and "property_id" not in details:
        details |= _requester_problems(store, property_id, requester_id, caller)
    return details | external_id_problems(ticket.external_ids, given)


def assignee_problems(store: EventStore, property_id: str, assignee_id: str | None) -> Details:
    """The reason why a ticket of the property cannot be assigned to this person; None is nobody."""
    if assignee_id is None:
        return {}
    assignee = store.find(User, assignee_id)
    if assignee is None or not assignee.may_work_on(property_id):
        return {"assigned_to": [NOT_ASSIGNABLE]}
    return {}


def _requester_problems(store: EventStore, property_id: str, requester_id: str, caller: Caller) -> Details:
    """The reason why a ticket of the property cannot get this requester instead of another."""
    requester = store.find(User, requester_id)
    if (
        requester is None
        or not requester.may_request_for(property_id)
        or not caller.may_see_user(requester.id, requester.property_ids)
    ):
        return {"requester_id": [NOT_A_REQUESTER]}
    return {}


def _may_see(caller: Caller, ticket: Ticket) -> bool:
    return caller.may_see_ticket(ticket.property_id, ticket.requester_id)
