"""The places and people of the demo data: those of a small company, or for many tickets of a large one.

The first ones are always the same; they include those of the API reference, with their ids. More tickets
come from more places: about 500 tickets for each property, 1,000 for each member of the staff and 50 for each
guest. Some properties are much larger than others.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from cli import demo_texts
from domain.access import Role
from domain.property import Address

TICKETS_PER_PROPERTY = 500
TICKETS_PER_STAFF = 1_000
TICKETS_PER_GUEST = 50
PROPERTIES_PER_MANAGER = 40
PROPERTIES_PER_STAFF = 3
MOST_UNITS, LEAST_UNITS = 400, 8


class Place(NamedTuple):
    id: str
    name: str
    address: Address
    units: dict[str, str]


class Person(NamedTuple):
    """`home` is the unit a guest lives in, as (property id, unit id)."""

    id: str
    name: str
    role: Role
    property_ids: tuple[str, ...]
    phone: str | None = None
    home: tuple[str, str] | None = None


def _units(count: int, first_id: str | None = None) -> dict[str, str]:
    """Return units by id, ten for each floor: Unit 101 to 110, 201 to 210 ..."""
    numbers = [100 * (1 + index // 10) + 1 + index % 10 for index in range(count)]
    return {
        first_id if first_id and index == 0 else f"unit-{number}": f"Unit {number}"
        for index, number in enumerate(numbers)
    }


def _usa(street: str, city: str, state: str, zip_code: str) -> Address:
    return Address(street=street, city=city, state=state, zip=zip_code, country="USA")


PLACES = (
    Place(
        "abc123",
        "Seaside Apartments",
        _usa("123 Ocean Drive", "Beachtown", "CA", "90210"),
        _units(50, first_id="unit456"),
    ),
    Place("harbor-lofts", "Harbor Lofts", _usa("8 Pier Street", "Beachtown", "CA", "90211"), _units(24)),
    Place("maple-court", "Maple Court", _usa("410 Maple Avenue", "Riverside", "OR", "97001"), _units(36)),
    Place("old-mill", "Old Mill Offices", _usa("1 Mill Lane", "Riverside", "OR", "97002"), _units(12)),
    Place(
        "hillcrest", "Hillcrest Residences", _usa("77 Summit Road", "Highfield", "WA", "98001"), _units(40)
    ),
)

_COAST, _RIVER, _HILL = ("abc123", "harbor-lofts"), ("maple-court", "old-mill"), ("hillcrest",)

STAFF = (
    Person("user101", "Jane Smith", "staff", _COAST, "555-123-4567"),
    Person("user102", "Tomás Herrera", "staff", _COAST, "555-123-4568"),
    Person("user103", "Aisha Khan", "staff", _RIVER, "555-123-4569"),
    Person("user104", "Piotr Nowak", "staff", _RIVER, "555-123-4570"),
    Person("user105", "Mei Chen", "staff", _HILL, "555-123-4571"),
)
MANAGERS = (
    Person("user200", "Marcus Webb", "manager", _COAST, "555-123-4600"),
    Person("user201", "Ingrid Solberg", "manager", (*_RIVER, *_HILL), "555-123-4601"),
)
ADMIN = Person("user300", "Olivia Grant", "admin", (), "555-123-4700")

# fmt: off
_GUEST_NAMES = (
    "Ana Souza", "Ben Carter", "Chloé Martin", "Daniel Kim", "Elena Rossi", "Farid Haddad", "Grace Lee",
    "Hugo Weber", "Ines Costa", "Jakub Novák", "Kofi Mensah", "Laura Meyer", "Mohammed Ali", "Nora Berg",
    "Omar Aziz", "Priya Nair", "Quinn Murphy", "Rosa Díaz", "Samuel Brown", "Tara Singh", "Uma Patel",
    "Victor Hugo Lima", "Wei Zhang", "Yara Saleh", "Zoe Adams",
)
# fmt: on


def _guests() -> tuple[Person, ...]:
    """Return John Doe of the API reference in unit456, and the others spread over all properties."""
    guests = [Person("user789", "John Doe", "guest", ("abc123",), "555-987-6543", ("abc123", "unit456"))]
    for index, name in enumerate(_GUEST_NAMES):
        place = PLACES[index % len(PLACES)]
        unit_id = list(place.units)[1 + index // len(PLACES)]
        guests.append(Person(f"user{800 + index}", name, "guest", (place.id,), None, (place.id, unit_id)))
    return tuple(guests)


GUESTS = _guests()


class Population:
    """The places and people for a number of tickets.

    The numbers of units, guests and tickets of a property follow its rank by size: the 1,000th has a
    twenty-fifth of what the first has.
    """

    def __init__(self, tickets: int) -> None:
        self.places: Sequence[Place] = PLACES + tuple(_more_places(tickets // TICKETS_PER_PROPERTY))
        self._weights = list(accumulate(map(_size, range(len(self.places)))))
        added = self.places[len(PLACES) :]
        self.managers: Sequence[Person] = MANAGERS + tuple(_more_managers(added))
        self.staff: Sequence[Person] = STAFF + tuple(_more_staff(added, tickets // TICKETS_PER_STAFF))
        self.guests: Sequence[Person] = GUESTS + tuple(self._more_guests(tickets // TICKETS_PER_GUEST))

    @property
    def people(self) -> Sequence[Person]:
        return (ADMIN, *self.managers, *self.staff, *self.guests)

    def choose_place(self, chance: random.Random) -> Place:
        """Choose a place at random, in proportion to its size."""
        return self.places[bisect(self._weights, chance.random() * self._weights[-1])]

    def choose_guest(self, chance: random.Random) -> Person:
        """Choose a guest of a place that is chosen in the same way. Earlier guests are more frequent."""
        guests = self._guests_at[self.choose_place(chance).id]
        return guests[int(len(guests) * chance.random() ** 1.5)]

    def staff_at(self, property_id: str) -> Sequence[Person]:
        return self._staff_at[property_id]

    def manager_at(self, property_id: str) -> Person:
        return self._managers_at[property_id][0]

    @cached_property
    def _guests_at(self) -> Mapping[str, Sequence[Person]]:
        return _by_property(self.guests)

    @cached_property
    def _staff_at(self) -> Mapping[str, Sequence[Person]]:
        return _by_property(self.staff)

    @cached_property
    def _managers_at(self) -> Mapping[str, Sequence[Person]]:
        return _by_property(self.managers)

    def _more_guests(self, wanted: int) -> Iterator[Person]:
        """One guest for each added place, and the others in proportion to the sizes of all places."""
        added = self.places[len(PLACES) :]
        chance = random.Random("guests")  # noqa: S311 - made-up data, not secrets
        for number in range(max(len(added), wanted - len(GUESTS)) if added else 0):
            place = added[number] if number < len(added) else self.choose_place(chance)
            unit_id = chance.choice(list(place.units))
            name = _name(chance, number)
            yield Person(f"guest-{number + 1}", name, "guest", (place.id,), None, (place.id, unit_id))


def _size(rank: int) -> float:
    """The relative size of the property with this rank by size; the first rank is 0."""
    return float(((rank + 10) / 10) ** -0.7)


def _more_places(wanted: int) -> Iterator[Place]:
    chance = random.Random("places")  # noqa: S311 - made-up data, not secrets
    for rank in range(len(PLACES), wanted):
        number = rank + 1
        name = f"{chance.choice(demo_texts.PLACE_NAMES)} {chance.choice(demo_texts.PLACE_KINDS)} {number}"
        street = f"{chance.randrange(1, 900)} {chance.choice(demo_texts.STREETS)}"
        address = _usa(street, chance.choice(demo_texts.CITIES), "CA", str(chance.randrange(90_000, 97_000)))
        units = max(LEAST_UNITS, round(MOST_UNITS * _size(rank)))
        yield Place(f"property-{number}", name, address, _units(units))


def _more_managers(places: Sequence[Place]) -> Iterator[Person]:
    """Managers with up to PROPERTIES_PER_MANAGER places each, large and small ones."""
    count = -(-len(places) // PROPERTIES_PER_MANAGER)
    chance = random.Random("managers")  # noqa: S311 - made-up data, not secrets
    for number in range(count):
        ids = tuple(place.id for place in places[number::count])
        yield Person(f"manager-{number + 1}", _name(chance, number), "manager", ids, "555-123-5000")


def _more_staff(places: Sequence[Place], wanted: int) -> Iterator[Person]:
    """Members of the staff with up to PROPERTIES_PER_STAFF places each. Every place has at least one."""
    if not places:
        return
    chance = random.Random("staff")  # noqa: S311 - made-up data, not secrets
    count = max(-(-len(places) // PROPERTIES_PER_STAFF), wanted - len(STAFF))
    for number in range(count):
        own = [places[(number + index * count) % len(places)].id for index in range(PROPERTIES_PER_STAFF)]
        ids = tuple(dict.fromkeys(own))
        yield Person(f"staff-{number + 1}", _name(chance, number), "staff", ids, "555-123-6000")


def _name(chance: random.Random, number: int) -> str:
    """A name that differs from all others of the same role."""
    first, last = chance.choice(demo_texts.FIRST_NAMES), chance.choice(demo_texts.LAST_NAMES)
    return f"{first} {last} {number + 1}"


def _by_property(people: Sequence[Person]) -> dict[str, list[Person]]:
    found: dict[str, list[Person]] = {}
    for person in people:
        for property_id in person.property_ids:
            found.setdefault(property_id, []).append(person)
    return found
