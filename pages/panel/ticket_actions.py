"""The buttons of a ticket's page that do its next step with one click, and forms that take several steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import falcon
import msgspec

from api.http.sent_values import SentValues
from api.http.services import Services
from api.http.uploads import Upload
from commands.several import Command, run_all
from commands.tickets import NewComment, TicketChanges, change_ticket, comment_on_ticket
from domain.access import Caller, Context
from domain.errors import Invalid
from domain.ticket import Status, Ticket
from infrastructure.storage.event_store import EventStore
from pages.panel.sent_files import attach_each

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


def changes_of(name: str, ticket: Ticket, caller: Caller, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of TicketChanges that the action sets, and those that were `chosen` beside it.

    Raises Invalid for an unknown action.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise Invalid({"": [UNKNOWN_ACTION]})
    changes = dict(chosen)
    if action.status is not None:
        changes["status"] = action.status
    if action.takes or (action.takes_if_free and ticket.assignee_id is None and "assigned_to" not in chosen):
        changes["assigned_to"] = caller.principal_id
    return changes


def run_steps(
    services: Services,
    req: falcon.Request,
    ticket: Ticket,
    *,
    changes: dict[str, Any],
    comment: dict[str, Any] | None,
    uploads: Sequence[Upload],
) -> Ticket:
    """Change the ticket, comment on it and attach files: all of that or nothing, in one commit.

    `changes` are fields of TicketChanges, and `comment` those of NewComment. No file is stored if one of them
    is refused.
    """
    store, commands = services.store, list[Command]()
    contexts = [req.context.command(item) for item in range(len(uploads) + 2)]
    if changes:
        SentValues(changes, TicketChanges).read(lambda _: {})
        commands.append(partial(change_step, ticket.id, changes, contexts[0]))
    if comment is not None:
        SentValues(comment, NewComment).read(lambda _: {})
        commands.append(partial(_comment, ticket.id, comment, contexts[1]))
    if uploads:
        if store.done_before(Ticket, ticket.id, contexts[2]) is None:
            ticket.require_room_for_files(len(uploads))
        commands += attach_each(services.attachments, ticket.id, uploads, contexts[2:])
    return run_all(store, commands)


def change_step(ticket_id: str, changes: dict[str, Any], context: Context, store: EventStore) -> Ticket:
    """A command for run_all, with its first three arguments given: change the ticket."""
    return change_ticket(store, ticket_id, SentValues(changes, TicketChanges), context)


def _comment(ticket_id: str, given: dict[str, Any], context: Context, store: EventStore) -> Ticket:
    return comment_on_ticket(store, ticket_id, SentValues(given, NewComment), context)
