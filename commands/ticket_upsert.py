"""Creating or changing the ticket that has a certain external id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from commands.deciding import MAX_DECISIONS, TOO_MANY_CHANGES, change
from commands.external_ids import ExternalIds, ExternalIdTaken, find_by_external_id, taken
from commands.ticket_opening import open_ticket
from commands.tickets import TicketValues, change_problems, record_changes, visible_ticket
from commands.values import Values, given_values
from domain.access import Context
from domain.errors import Conflict, Details, Invalid, NotFound
from domain.ticket import Ticket
from domain.ticket_rights import require_may_change
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement

OTHER_ID = "The id of the source {} must be the one in the address, or absent."
SAME_REQUESTER = "A PUT cannot change the requester of a ticket. Managers change it in the panel."


class PutTicket(NamedTuple):
    """The ticket after the command, and whether the command opened it."""

    ticket: Ticket
    is_new: bool


def put_ticket(
    store: EventStore, source: str, external_id: str, values: Values[TicketValues], context: Context
) -> PutTicket:
    """Change the ticket that has the external id, or open one if no ticket has it.

    Simultaneous commands for one id open one ticket; the others change it. Raises ExternalIdTaken if the
    ticket is deleted or not visible to the caller.
    """
    context.caller.require("staff", "give tickets external ids")
    given = values.fields.get("external_ids")
    if isinstance(given, Mapping) and given.get(source, external_id) != external_id:
        raise Invalid({"external_ids": [OTHER_ID.format(source)]})
    for _ in range(MAX_DECISIONS):
        ticket_id = find_by_external_id(store, "ticket", source, external_id)
        if ticket_id is not None:
            return _change(store, source, external_id, ticket_id, values, context)
        try:
            ticket = open_ticket(store, values, context, own_ids={source: external_id})
        except ExternalIdTaken as refusal:
            if f"external_ids.{source}" not in (refusal.details or {}):
                raise
        else:
            return PutTicket(ticket, is_new=True)
    raise Conflict(TOO_MANY_CHANGES)


def _change(
    store: EventStore,
    source: str,
    external_id: str,
    ticket_id: str,
    values: Values[TicketValues],
    context: Context,
) -> PutTicket:
    caller = context.caller

    def find() -> Ticket:
        try:
            return visible_ticket(store, caller, ticket_id)
        except NotFound:
            raise taken(store, caller, "ticket", {source: ticket_id}, claimed={source: external_id}) from None

    def decide(ticket: Ticket) -> list[Statement]:
        def problems(given: Mapping[str, Any]) -> Details:
            details = change_problems(store, ticket, given, caller)
            if given.get("requester_id", ticket.requester_id) != ticket.requester_id:
                details["requester_id"] = [SAME_REQUESTER]
            return details

        different = _different(values.fields, ticket)
        different.pop("requester_id", None)  # refused for every role
        require_may_change(caller, ticket, different)
        changes = given_values(values.read(problems))
        return record_changes(ticket, _different(changes, ticket), context, external_ids)

    with ExternalIds(store, caller, "ticket") as external_ids:
        return PutTicket(change(store, ticket_id, context, find, decide), is_new=False)


def _different(given: Mapping[str, Any], ticket: Ticket) -> dict[str, Any]:
    """The given fields without the property and requester that the ticket has already: who may open a ticket
    need not have the right to move it."""
    present = {"property_id": ticket.property_id, "requester_id": ticket.requester_id}
    return {name: value for name, value in given.items() if name not in present or value != present[name]}
