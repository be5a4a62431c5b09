"""An independent model of access, for tests: whether a credential may act on something with a role and reach.

It repeats the rule of domain/access.py with plain sets. All properties are {"A", "B", "C"}.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

RANK = {"guest": 0, "staff": 1, "manager": 2, "admin": 3}
EVERYTHING = frozenset("ABC")
# The property lists of people, keys and OAuth clients.
LISTS: tuple[tuple[str, ...], ...] = ((), ("A",), ("A", "B"), ("B",))


class Held(NamedTuple):
    """A role and the properties it applies to."""

    role: str
    reach: frozenset[str]

    def covers(self, other: Held) -> bool:
        return RANK[self.role] >= RANK[other.role] and self.reach >= other.reach

    def intersect(self, other: Held) -> Held:
        role = min(self.role, other.role, key=lambda role: RANK[role])
        return Held(role, self.reach & other.reach)


class Person(NamedTuple):
    """A person; `listed` has the ids of the person's properties."""

    role: str
    listed: tuple[str, ...]

    @property
    def held(self) -> Held:
        return Held(self.role, EVERYTHING if self.role == "admin" else frozenset(self.listed))


class Credential(NamedTuple):
    """A credential. `role` and `listed` are those of the API key or OAuth client; a session has None."""

    kind: str
    role: str | None
    listed: tuple[str, ...] | None
    person: Person | None

    @property
    def held(self) -> Held:
        """The effective role and properties of a caller with this credential."""
        if self.role is None or self.listed is None:
            assert self.person is not None
            return self.person.held
        own = Held(self.role, frozenset(self.listed) or EVERYTHING)
        return own if self.person is None else own.intersect(self.person.held)

    @property
    def is_narrowed(self) -> bool:
        return self.person is not None and self.held != self.person.held

    def sees(self, person: Person) -> bool:
        if self.held.role == "guest":
            return False
        return self.held.reach == EVERYTHING or not self.held.reach.isdisjoint(person.listed)

    def may_act_on(self, *things: Held, least: str) -> bool:
        """Whether the role is at least `least`, and none of the things exceeds the caller's rights."""
        held = self.held
        return RANK[held.role] >= RANK[least] and all(held.covers(thing) for thing in things)


def people() -> list[Person]:
    return [Person(role, listed) for role, listed in product(RANK, LISTS)]


def credentials() -> Iterator[Credential]:
    """Every kind of credential with every role and reach; credentials of a person never exceed the person."""
    own = list(product(RANK, ((), ("A",), ("A", "B"))))
    for kind in ("service key", "application"):
        yield from (Credential(kind, role, listed, None) for role, listed in own)
    for kind in ("key of a person", "application for a person"):
        for role, listed in own:
            yield Credential(kind, role, listed, Person("admin", ("A",)))
            yield Credential(kind, role, listed, Person("manager", ("A", "B")))
    yield from (Credential("session", None, None, Person(role, listed)) for role, listed in own)
