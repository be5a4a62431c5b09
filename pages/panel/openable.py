"""Which names on the pages of tickets lead to pages of their own."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool
from projections.users import visible_users
from projections.views import TicketFields


class Openable(msgspec.Struct, frozen=True):
    """Whether the viewer may open the pages of properties and units, and the ids of the people whose pages
    they may open."""

    places: bool
    people: frozenset[str]


def openable_names(pool: Pool, caller: Caller, tickets: Iterable[TicketFields]) -> Openable:
    """Those of tickets within the caller's reach. The pages are for managers and above."""
    if not caller.is_at_least("manager"):
        return Openable(places=False, people=frozenset())
    shown = (person for ticket in tickets for person in (ticket.requester, ticket.assigned_to) if person)
    return Openable(places=True, people=visible_users(pool, caller, {person.id for person in shown}))
