"""Opening a ticket.

The command first decides on the property and requester that this process remembers, and saves on the
condition that they have not changed. docs/decisions/0009-performance.md tells what that saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from commands.deciding import create
from commands.tickets import NewTicket, place_problems
from commands.values import Values, given_values
from domain.access import Caller, Context
from domain.errors import Details, Invalid
from domain.property import Property
from domain.ticket import Ticket
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.recorder import OutOfDate
from infrastructure.storage.snapshots import Snapshot

UNKNOWN_REQUESTER = "No user with that id is within your reach."


class _Surroundings(NamedTuple):
    """What decides whether a ticket may be opened: its property, and its requester unless that is the caller.

    `conditions` are those of them that must not have changed when the ticket is saved.
    """

    place: Property | None
    requester: User | None
    conditions: tuple[Snapshot[Any], ...] = ()


_Find = Callable[[EventStore, Caller, Mapping[str, Any]], _Surroundings]


def open_ticket(store: EventStore, values: Values[NewTicket], context: Context) -> Ticket:
    """Open a ticket, whose id is the command's id. The requester is the caller unless a manager names one."""
    if done := store.done_before(Ticket, context.command_id, context):
        return done
    if _names_another(context.caller, values.fields):
        context.caller.require("manager", "open a ticket for someone else")
    with suppress(OutOfDate, Invalid):  # what this process remembers may be out of date
        return _open(store, values, context, _recall)
    return _open(store, values, context, _read)


def _open(store: EventStore, values: Values[NewTicket], context: Context, find: _Find) -> Ticket:
    conditions: tuple[Snapshot[Any], ...] = ()

    def problems(given: Mapping[str, Any]) -> Details:
        nonlocal conditions
        found = find(store, context.caller, given)
        conditions = found.conditions
        return _problems(context.caller, found, given)

    facts = {"requester_id": context.caller.principal_id, **given_values(values.read(problems))}
    return create(
        store, Ticket.open(context.command_id, context, **facts), context, unless_changed=conditions
    )


def _names_another(caller: Caller, given: Mapping[str, Any]) -> bool:
    """Whether the given fields name a requester other than the caller."""
    return bool(given.get("requester_id", caller.principal_id) != caller.principal_id)


def _recall(store: EventStore, caller: Caller, given: Mapping[str, Any]) -> _Surroundings:
    """As `_read`, from this process's memory if it has them."""
    place = store.recall(Property, given.get("property_id", ""))
    if place is None:
        return _read(store, caller, given)
    if not _names_another(caller, given):
        return _Surroundings(place.aggregate, None, (place,))
    requester = store.recall(User, given["requester_id"])
    if requester is None:
        return _read(store, caller, given)
    return _Surroundings(place.aggregate, requester.aggregate, (place, requester))


def _read(store: EventStore, caller: Caller, given: Mapping[str, Any]) -> _Surroundings:
    """The property and requester that the given fields name, as the log has them now."""
    property_id = given.get("property_id", "")
    if not _names_another(caller, given):
        return _Surroundings(store.find(Property, property_id), None)
    return _Surroundings(*store.find_both(Property, property_id, User, given["requester_id"]))


def _problems(caller: Caller, found: _Surroundings, given: Mapping[str, Any]) -> Details:
    """Why the ticket cannot be opened for this property, unit and requester."""
    details = place_problems(found.place, caller, given.get("unit_id"))
    requester = found.requester
    if _names_another(caller, given) and (
        requester is None
        or requester.is_erased
        or not caller.may_see_user(requester.id, requester.property_ids)
    ):
        details["requester_id"] = [UNKNOWN_REQUESTER]
    return details
