"""Opening a ticket.

It is decided on the property and the requester this process remembers, where it does, and stored on the
condition that they are still so; docs/decisions/0009-performance.md says what that saves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from commands.tickets import place_problems
from domain.access import Caller, Context
from domain.errors import Details, Invalid
from domain.property import Property
from domain.ticket import Priority, Ticket
from domain.user import User
from infrastructure.storage.event_store import EventStore, Remembered, create
from infrastructure.storage.recorder import OutOfDate

UNKNOWN_REQUESTER = "No user with that id is within your reach."


class OpenTicket(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    description: str
    priority: Priority
    category: str
    property_id: str
    unit_id: str | None = None
    requester_id: str | None = None


class _Around(NamedTuple):
    """What a new ticket is judged by: its property, and the requester where it is not the caller."""

    property: Property | None
    requester: User | None
    given: tuple[Remembered[Any], ...] = ()


def open_ticket(store: EventStore, command: OpenTicket, context: Context) -> Ticket:
    """Open a ticket; its id is the command's. The requester is the caller unless a manager names one."""
    caller = context.caller
    property_id, requester_id = command.property_id, command.requester_id
    if done := store.done_before(Ticket, context.command_id, context):
        return done
    if _names_another(caller, requester_id):
        caller.require("manager", "open a ticket for someone else")
    around = _remembered_around(store, caller, property_id, requester_id)
    if around is not None and not _problems(caller, around, command.unit_id, requester_id):
        with suppress(OutOfDate):
            return _open(store, command, context, around)
    around = _read_around(store, caller, property_id, requester_id)
    if details := _problems(caller, around, command.unit_id, requester_id):
        raise Invalid(details)
    return _open(store, command, context, around)


def opening_problems(
    store: EventStore, caller: Caller, property_id: str, unit_id: str | None, requester_id: str | None
) -> Details:
    """Why a ticket cannot be opened at this place, or for this requester."""
    around = _read_around(store, caller, property_id, requester_id)
    return _problems(caller, around, unit_id, requester_id)


def _names_another(caller: Caller, requester_id: str | None) -> bool:
    return requester_id not in (None, caller.principal_id)


def _remembered_around(
    store: EventStore, caller: Caller, property_id: str, requester_id: str | None
) -> _Around | None:
    """As this process knows it already, if it does, to be saved under the condition that it is still so."""
    place = store.remembered(Property, property_id)
    if place is None:
        return None
    if not _names_another(caller, requester_id):
        return _Around(place.aggregate, None, (place,))
    requester = store.remembered(User, requester_id or "")
    return None if requester is None else _Around(place.aggregate, requester.aggregate, (place, requester))


def _read_around(store: EventStore, caller: Caller, property_id: str, requester_id: str | None) -> _Around:
    if not _names_another(caller, requester_id):
        return _Around(store.find(Property, property_id), None)
    return _Around(*store.find_both(Property, property_id, User, requester_id or ""))


def _problems(caller: Caller, around: _Around, unit_id: str | None, requester_id: str | None) -> Details:
    details = place_problems(around.property, caller, unit_id)
    requester = around.requester
    if _names_another(caller, requester_id) and (
        requester is None
        or requester.is_erased
        or not caller.may_see_user(requester.id, requester.property_ids)
    ):
        details["requester_id"] = [UNKNOWN_REQUESTER]
    return details


def _open(store: EventStore, command: OpenTicket, context: Context, around: _Around) -> Ticket:
    ticket = Ticket.open(
        context.command_id,
        context,
        title=command.title,
        description=command.description,
        priority=command.priority,
        category=command.category,
        property_id=command.property_id,
        unit_id=command.unit_id,
        requester_id=command.requester_id or context.caller.principal_id,
    )
    return create(store, ticket, context, given=around.given)
