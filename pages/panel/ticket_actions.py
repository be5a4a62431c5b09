"""The buttons of a ticket's page that do its next step with one click."""

from __future__ import annotations

from typing import Any

import msgspec

from domain.access import Caller
from domain.errors import Invalid
from domain.ticket import Status, Ticket

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
