"""The buttons of a ticket's page that do its next step with one click."""

from __future__ import annotations

from typing import Any

import msgspec

from api.http.sent_values import SentValues
from commands.tickets import NewComment, TicketChanges, change_ticket, comment_on_ticket
from domain.access import Caller, Context
from domain.errors import Invalid
from domain.ticket import Status, Ticket
from infrastructure.storage.event_store import EventStore

UNKNOWN_ACTION = "This button does not exist. Open the page again."


class Action(msgspec.Struct, frozen=True):
    """`status` is the status that the ticket gets. With `takes` it is assigned to who clicks: always, or only
    if it is assigned to nobody."""

    name: str
    label: str
    offered_in: tuple[Status, ...]
    status: Status | None = None
    takes: bool = False
    takes_if_free: bool = False


ACTIONS = {
    action.name: action
    for action in (
        Action("take", "Assign to me", ("open", "in_progress"), takes=True),
        Action("start", "Start", ("open",), status="in_progress", takes_if_free=True),
        Action("resolve", "Resolve", ("open", "in_progress"), status="closed"),
        Action("reopen", "Reopen", ("closed",), status="open"),
    )
}


def offered_actions(status: Status, assignee_id: str | None, caller: Caller) -> list[Action]:
    """The actions for a ticket in this status."""
    return [
        action
        for action in ACTIONS.values()
        if status in action.offered_in and not (action.takes and assignee_id == caller.principal_id)
    ]


def changes_of(name: str, ticket: Ticket, caller: Caller) -> dict[str, Any]:
    """The fields of TicketChanges that the action sets. Raises Invalid for an unknown one."""
    action = ACTIONS.get(name)
    if action is None:
        raise Invalid({"": [UNKNOWN_ACTION]})
    changes: dict[str, Any] = {} if action.status is None else {"status": action.status}
    if action.takes or (action.takes_if_free and ticket.assignee_id is None):
        changes["assigned_to"] = caller.principal_id
    return changes


def change_step(ticket_id: str, changes: dict[str, Any], context: Context, store: EventStore) -> Ticket:
    """A command for run_all, with its first three arguments given: change the ticket."""
    return change_ticket(store, ticket_id, SentValues(changes, TicketChanges), context)


def comment_step(ticket_id: str, given: dict[str, Any], context: Context, store: EventStore) -> Ticket:
    """A command for run_all, with its first three arguments given: comment on the ticket."""
    return comment_on_ticket(store, ticket_id, SentValues(given, NewComment), context)
