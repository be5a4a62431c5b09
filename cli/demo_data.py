"""The demo data, created with the methods of the domain. The same seed gives the same data.

Users and properties depend on the number of tickets (cli/demo_population.py), tickets also on the seed. Their
times count back from `today`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from cli import demo_texts
from cli.demo_population import GUESTS, STAFF, Person, Population
from domain.access import Caller, Context, system_context
from domain.property import Property
from domain.ticket import Ticket
from domain.user import Preferences, User

REFERENCE_TICKET = "123e4567-e89b-12d3-a456-426614174000"
SPREAD = timedelta(days=365)
MANAGED_SINCE = timedelta(days=400)
_ID_EPOCH_MS = 1_767_225_600_000  # the first time in the ids of demo tickets: 2026-01-01
_ID_STEP_MS = 31_000


def properties(population: Population, today: datetime) -> Iterator[Property]:
    """Yield the properties with their units, each with pending events."""
    for place in population.places:
        context = _by_system(today - MANAGED_SINCE, f"demo-{place.id}")
        managed = Property.register(place.id, context, name=place.name, address=place.address)
        for unit_id, name in place.units.items():
            managed.add_unit(unit_id, name, context)
        yield managed


def users(population: Population, today: datetime) -> Iterator[User]:
    """Yield the users, each with its pending event."""
    for person in population.people:
        yield User.register(
            person.id,
            _by_system(today - MANAGED_SINCE, f"demo-{person.id}"),
            name=person.name,
            email=_email(person),
            phone=person.phone,
            role=person.role,
            property_ids=person.property_ids,
            preferences=Preferences(),
        )


def tickets(
    population: Population, seed: int, count: int, today: datetime, numbers: Iterable[int] | None = None
) -> Iterator[Ticket]:
    """Yield `count` tickets in the order of their days, each with all its pending events, or only those with
    these numbers from 1 on. The last one is the ticket of the API reference."""
    for number in numbers or range(1, count + 1):
        if number == count:
            yield _reference_ticket(today)
            continue
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - made-up data, not secrets
        day = today - SPREAD + (SPREAD - timedelta(days=1)) * (number / count)
        created_at = day + timedelta(seconds=chance.randrange(86_400))
        yield _TicketHistory(population, chance, number, created_at, today).ticket()


def _reference_ticket(today: datetime) -> Ticket:
    john, jane, opened_at = GUESTS[0], STAFF[0], today - timedelta(hours=8, minutes=30)
    ticket = Ticket.open(
        REFERENCE_TICKET,
        _by(john, opened_at, "demo-reference-1"),
        title="Water leak in bathroom",
        description="There is water leaking from the ceiling in the bathroom",
        priority="high",
        category="plumbing",
        property_id="abc123",
        unit_id="unit456",
        requester_id=john.id,
    )
    half_an_hour_later = _by(jane, opened_at + timedelta(minutes=30), "demo-reference-2")
    ticket.change({"assignee_id": jane.id}, half_an_hour_later)
    ticket.comment("comment123", demo_texts.STAFF_COMMENTS[0], "public", half_an_hour_later)
    return ticket


class _TicketHistory:
    """The history of one ticket, chosen by its own random numbers. No event is later than `today`."""

    def __init__(
        self,
        population: Population,
        chance: random.Random,
        index: int,
        created_at: datetime,
        today: datetime,
    ) -> None:
        self._chance = chance
        self._ms = _ID_EPOCH_MS + index * _ID_STEP_MS
        self._now = created_at
        self._today = today
        self._guest = population.choose_guest(chance)
        self._property_id, self._unit_id = self._guest.home or ("", "")
        self._worker = chance.choice(population.staff_at(self._property_id))
        self._manager = population.manager_at(self._property_id)

    def ticket(self) -> Ticket:
        ticket = self._open()
        if self._advance(hours=30) and self._chance.random() < 0.95:
            ticket.change({"assignee_id": self._worker.id}, self._by(self._manager))
        for _ in range(self._chance.choice((0, 1, 1, 2, 3))):
            if self._advance(hours=40):
                self._comment(ticket)
        if ticket.assignee_id and self._advance(hours=20):
            ticket.change({"status": "in_progress"}, self._by(self._worker))
            if self._advance(hours=200):
                self._finish(ticket)
        return ticket

    def _open(self) -> Ticket:
        report = self._chance.choice(demo_texts.REPORTS)
        room = self._chance.choice(demo_texts.ROOMS)
        return Ticket.open(
            self._new_id(),
            self._by(self._guest),
            title=report.title.format(room=room),
            description=report.description.format(room=room),
            priority=report.priority,
            category=report.category,
            property_id=self._property_id,
            unit_id=self._unit_id,
            requester_id=self._guest.id,
        )

    def _comment(self, ticket: Ticket) -> None:
        kind = self._chance.random()
        if kind < 0.2:
            text = self._chance.choice(demo_texts.INTERNAL_COMMENTS)
            ticket.comment(self._new_id(), text, "internal", self._by(self._manager))
        elif kind < 0.6:
            text = self._chance.choice(demo_texts.STAFF_COMMENTS)
            ticket.comment(self._new_id(), text, "public", self._by(self._worker))
        else:
            text = self._chance.choice(demo_texts.GUEST_COMMENTS)
            ticket.comment(self._new_id(), text, "public", self._by(self._guest))

    def _finish(self, ticket: Ticket) -> None:
        outcome = self._chance.random()
        if outcome < 0.01:
            ticket.delete(self._by(self._manager))
        elif outcome < 0.94:
            ticket.change({"status": "closed"}, self._by(self._worker))
            if outcome < 0.04 and self._advance(hours=90):
                ticket.change({"status": "open"}, self._by(self._guest))

    def _advance(self, *, hours: int) -> bool:
        """Advance the time by up to `hours`. Return False if it is then after today."""
        self._now += timedelta(seconds=self._chance.randint(600, hours * 3_600))
        return self._now < self._today

    def _by(self, person: Person) -> Context:
        return _by(person, self._now, self._new_id())

    def _new_id(self) -> str:
        """Return a UUIDv7 (RFC 9562) whose time part depends only on the number of the ticket."""
        low = self._chance.getrandbits(74)
        return str(UUID(int=self._ms << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & (1 << 62) - 1))


def _by(person: Person, at: datetime, command_id: str) -> Context:
    """Return the context of an action of that person."""
    caller = Caller(
        principal_id=person.id, name=person.name, role=person.role, auth="system", user_id=person.id
    )
    return Context(at=at, caller=caller, request_id=command_id, command_id=command_id)


def _by_system(at: datetime, command_id: str) -> Context:
    return system_context(at, auth="system", command_id=command_id)


def _email(person: Person) -> str:
    """Return an address such as jane.smith@example.com, without accents. Those who share a name with people
    of other roles have their id."""
    if person.id.rpartition("-")[2] == person.name.rpartition(" ")[2]:
        return f"{person.id}@example.com"
    plain = person.name.lower().translate(str.maketrans("áéíóúñ", "aeioun")).replace(" ", ".")
    return f"{plain}@example.com"
