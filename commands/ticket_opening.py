"""Opening a ticket.

The command first decides with the property and requester that are in this process's memory, and saves on the
condition that they have not changed. docs/decisions/0009-performance.md gives the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, UNSET

from commands.deciding import create
from commands.external_ids import ExternalIds
from commands.tickets import NewTicket, TicketValues, assignee_problems, place_problems
from commands.values import Values, given_values
from domain.access import Caller, Context
from domain.errors import Details, Invalid
from domain.external_ids import external_id_problems, merged
from domain.property import Property
from domain.ticket import Ticket
from domain.ticket_rights import require_may_open
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.recorder import OutOfDate
from infrastructure.storage.snapshots import Snapshot

UNKNOWN_REQUESTER = "No user with that id is within your reach."
REQUIRED = "The {} field is required."
_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(NewTicket)
    if field.default not in (NODEFAULT, UNSET)
}
# The attributes of a ticket that its first event does not set, by the names of TicketValues.
_LATER = {"status": "status", "assigned_to": "assignee_id"}


class _References(NamedTuple):
    """The property of the new ticket, and its requester unless that is the caller.

    `conditions` are the snapshots of them that must be current when the ticket is saved.
    """

    place: Property | None
    requester: User | None
    conditions: tuple[Snapshot[Any], ...] = ()


_Find = Callable[[EventStore, Caller, Mapping[str, Any]], _References]


def open_ticket(
    store: EventStore,
    values: Values[NewTicket] | Values[TicketValues],
    context: Context,
    *,
    own_ids: Mapping[str, str] = {},
) -> Ticket:
    """Open a ticket. Its id is the command id; its requester is the caller unless a manager names another.

    `own_ids` are external ids that it gets in addition to those in the values. Raises ExternalIdTaken.
    """
    if done := store.done_before(Ticket, context.command_id, context):
        return done
    require_may_open(context.caller, values.fields)
    if _names_other_requester(context.caller, values.fields):
        context.caller.require("manager", "open a ticket for someone else")
    with suppress(OutOfDate, Invalid):  # the memory of this process may be out of date
        return _open(store, values, context, _recall_references, own_ids)
    return _open(store, values, context, _read_references, own_ids)


def _open(
    store: EventStore,
    values: Values[NewTicket] | Values[TicketValues],
    context: Context,
    find: _Find,
    own_ids: Mapping[str, str],
) -> Ticket:
    conditions: tuple[Snapshot[Any], ...] = ()

    def problems(given: Mapping[str, Any]) -> Details:
        nonlocal conditions
        found = find(store, context.caller, given)
        conditions = found.conditions
        return _problems(store, context.caller, found, given) | external_id_problems(own_ids, given)

    given = given_values(values.read(problems))
    later = {name: given.pop(given_name) for given_name, name in _LATER.items() if given_name in given}
    given["external_ids"] = merged(own_ids, given.get("external_ids", {}))
    facts = {**_DEFAULTS, "requester_id": context.caller.principal_id, **given}
    ticket = Ticket.open(context.command_id, context, **facts)
    ticket.change(later, context)
    with ExternalIds(store, context.caller, "ticket") as external_ids:
        claims = external_ids.claim(ticket.id, {}, ticket.external_ids)
        return create(store, ticket, context, statements=claims, unless_changed=conditions)


def _names_other_requester(caller: Caller, given: Mapping[str, Any]) -> bool:
    """Whether the given fields name a requester other than the caller."""
    return bool(given.get("requester_id", caller.principal_id) != caller.principal_id)


def _recall_references(store: EventStore, caller: Caller, given: Mapping[str, Any]) -> _References:
    """Return what `_read_references` returns, but from the cache of this process if it has them."""
    place = store.recall(Property, given.get("property_id", ""))
    if place is None:
        return _read_references(store, caller, given)
    if not _names_other_requester(caller, given):
        return _References(place.aggregate, None, (place,))
    requester = store.recall(User, given["requester_id"])
    if requester is None:
        return _read_references(store, caller, given)
    return _References(place.aggregate, requester.aggregate, (place, requester))


def _read_references(store: EventStore, caller: Caller, given: Mapping[str, Any]) -> _References:
    """The property and requester that the given fields name, from the log."""
    property_id = given.get("property_id", "")
    if not _names_other_requester(caller, given):
        return _References(store.find(Property, property_id), None)
    return _References(*store.find_both(Property, property_id, User, given["requester_id"]))


def _problems(store: EventStore, caller: Caller, found: _References, given: Mapping[str, Any]) -> Details:
    """The reasons why the ticket cannot be opened for this property, unit, requester and assignee."""
    details = place_problems(found.place, caller, given.get("unit_id"))
    details |= {name: [REQUIRED.format(name)] for name in ("title", "property_id") if name not in given}
    if "property_id" not in details:
        details |= assignee_problems(store, given["property_id"], given.get("assigned_to"))
    requester = found.requester
    if _names_other_requester(caller, given) and (
        requester is None
        or requester.is_erased
        or not caller.may_see_user(requester.id, requester.property_ids)
    ):
        details["requester_id"] = [UNKNOWN_REQUESTER]
    return details
