"""Callers, their roles and rights, and the context of a command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, get_args

import msgspec

from domain.errors import Forbidden

Role = Literal["admin", "manager", "staff", "guest"]
AuthKind = Literal["api_key", "oauth", "session", "cli", "system"]
Scope = Literal[
    "tickets:read",
    "tickets:write",
    "users:read",
    "users:write",
    "properties:read",
    "properties:write",
    "webhooks:read",
    "webhooks:write",
    "audit:read",
]

ROLES: tuple[Role, ...] = get_args(Role)
SCOPES: tuple[Scope, ...] = get_args(Scope)
_RANK: dict[str, int] = {"guest": 0, "staff": 1, "manager": 2, "admin": 3}


def lesser_role(one: Role, other: Role) -> Role:
    """The weaker of two roles. A key never outranks the person it belongs to."""
    return one if _RANK[one] <= _RANK[other] else other


def at_least(role: Role, needed: Role) -> bool:
    return _RANK[role] >= _RANK[needed]


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """A role and the properties it holds for; `property_ids` None means every property."""

    role: Role
    property_ids: frozenset[str] | None

    def include(self, other: Rights) -> bool:
        """Whether neither the role nor the reach of `other` exceeds these."""
        return at_least(self.role, other.role) and self.reach_includes(other)

    def reach_includes(self, other: Rights) -> bool:
        """Whether `other` reaches no property that these do not reach."""
        if self.property_ids is None:
            return True
        return other.property_ids is not None and other.property_ids <= self.property_ids

    def limited_to(self, other: Rights) -> Rights:
        """What both allow: the lesser role, for the properties that both reach."""
        reach = self.property_ids
        if other.property_ids is not None:
            reach = other.property_ids if reach is None else reach & other.property_ids
        return Rights(role=lesser_role(self.role, other.role), property_ids=reach)


def rights_of_person(role: Role, property_ids: Iterable[str]) -> Rights:
    """The rights of a person: an admin reaches every property, whatever their list says."""
    return Rights(role=role, property_ids=None if role == "admin" else frozenset(property_ids))


def rights_of_credential(role: Role, property_ids: Iterable[str]) -> Rights:
    """The most an API key or OAuth client allows: with an empty list it reaches every property.

    `effective_rights` says what it may do when it acts for a person.
    """
    return Rights(role=role, property_ids=frozenset(property_ids) or None)


class EffectiveRights(Rights, frozen=True, kw_only=True):
    """What a caller may do. `key_property_ids` are those its key or application is restricted to, if it is;
    `is_narrowed` says that it may do less than its person."""

    key_property_ids: frozenset[str] | None
    is_narrowed: bool


def effective_rights(
    person: tuple[Role, Iterable[str]] | None,
    credential: tuple[Role, Iterable[str]] | None = None,
    *,
    at_most: Role = "admin",
) -> EffectiveRights:
    """The rights of a person who signed in, of a credential of no person, or of both together.

    Each is given as the role and the property ids that are stored of it. A credential that acts for a person
    may do what both of them may. `at_most` limits the role further.
    """
    own = Rights(role="admin", property_ids=None) if credential is None else rights_of_credential(*credential)
    persons = own if person is None else rights_of_person(*person)
    both = own.limited_to(persons)
    return EffectiveRights(
        role=lesser_role(both.role, at_most),
        property_ids=both.property_ids,
        key_property_ids=own.property_ids,
        is_narrowed=both != persons,
    )


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of a command, as every event stores it: ids only, never names."""

    user_id: str | None = None
    role: Role
    auth: AuthKind
    credential_id: str | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person, key or application, with its rights.

    `principal_id` is the user's id, or the key's own id for a service key that belongs to no user.
    `property_ids` is None when every property is within reach. `key_property_ids` are the properties that the
    key or application is restricted to, or None. `is_narrowed`: it may do less than its person.
    """

    principal_id: str
    name: str
    role: Role
    auth: AuthKind
    credential_id: str | None = None
    user_id: str | None = None
    property_ids: frozenset[str] | None = None
    key_property_ids: frozenset[str] | None = None
    is_narrowed: bool = False
    scopes: frozenset[str] = frozenset(SCOPES)

    @property
    def actor(self) -> Actor:
        return Actor(user_id=self.user_id, role=self.role, auth=self.auth, credential_id=self.credential_id)

    @property
    def rights(self) -> Rights:
        return Rights(role=self.role, property_ids=self.property_ids)

    @property
    def is_auditor(self) -> bool:
        """Whether the caller may read the past of tickets that are deleted now."""
        return "audit:read" in self.scopes and self.is_at_least("staff")

    @property
    def sees_as_whole(self) -> bool:
        """Whether the caller reads every ticket that its person, or the service key, may read."""
        return "tickets:read" in self.scopes and not self.is_narrowed

    @property
    def is_of_everything(self) -> bool:
        """Whether the caller is an admin who reaches every property."""
        return self.role == "admin" and self.property_ids is None

    @property
    def holder(self) -> str | None:
        """The owner of idempotency keys. People who use the same OAuth client do not share them."""
        return f"{self.credential_id}/{self.user_id or ''}" if self.auth == "oauth" else self.credential_id

    def is_at_least(self, role: Role) -> bool:
        return at_least(self.role, role)

    def reaches(self, property_id: str) -> bool:
        return self.property_ids is None or property_id in self.property_ids

    def may_see_ticket(self, property_id: str, requester_id: str) -> bool:
        """Guests see the tickets that they requested, limited to the properties of a restricted key. Everyone
        else sees the tickets of the properties in reach."""
        if self.role == "guest":
            within = self.key_property_ids is None or property_id in self.key_property_ids
            return within and requester_id == self.principal_id
        return self.reaches(property_id)

    def may_see_user(self, user_id: str, user_property_ids: frozenset[str] | tuple[str, ...]) -> bool:
        """Everyone sees themselves; staff and above see the people of the properties in reach."""
        if user_id == self.user_id:
            return True
        if self.role == "guest":
            return False
        return self.property_ids is None or not self.property_ids.isdisjoint(user_property_ids)

    def sees_private_fields_of(self, user_id: str) -> bool:
        """Whether the caller sees phone and preferences: people see their own, managers and above see all."""
        return user_id == self.user_id or self.is_at_least("manager")

    def require(self, role: Role, action: str) -> None:
        """Raise Forbidden unless the role is `role` or above; `action` completes "may not ..."."""
        if not self.is_at_least(role):
            raise Forbidden(f"The role {self.role} may not {action}; {role} or above may.")

    def require_rights(self, needed: Rights, action: str) -> None:
        """Raise Forbidden unless the caller's rights include `needed`.

        Nobody creates, changes, erases or issues anything whose role or reach exceeds their own. `action`
        completes "may not ..." and names the thing, such as "change this person".
        """
        if not at_least(self.role, needed.role):
            raise Forbidden(f"The role {self.role} may not {action}: that takes the role {needed.role}.")
        if not self.rights.reach_includes(needed):
            reach = "every property" if needed.property_ids is None else "properties beyond your reach"
            raise Forbidden(
                f"You may not {action}, with access to {reach}. Ask an admin who reaches them all."
            )

    def require_scopes(self, needed: Iterable[str], action: str) -> None:
        """Raise Forbidden unless the caller has all of these scopes; scopes that do not exist are ignored.
        `action` completes "may not ..."."""
        if missing := sorted(set(SCOPES).intersection(needed) - self.scopes):
            raise Forbidden(f"You may not {action} with scopes that you lack: {', '.join(missing)}.")

    def require_full_reach(self, action: str) -> None:
        """Raise Forbidden unless the caller reaches every property; `action` completes "may not ..."."""
        if self.property_ids is not None:
            raise Forbidden(f"A key that is restricted to properties may not {action}.")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of one command, written into every event that it causes.

    `command_id` identifies the command: a repeated delivery has the same id, by which a retried request or a
    lost COMMIT reply is recognised. A new aggregate takes it as its own id. `is_retry`: an earlier delivery
    may have been stored. `attempt`, if given, separates deliveries of one command: only events of the same
    attempt count as its own. `source_prefix` is the caller's network prefix (/24 or /48), not the address.
    """

    at: datetime
    caller: Caller
    request_id: str
    command_id: str
    is_retry: bool = False
    attempt: str | None = None
    source_prefix: str | None = None


def system_context(at: datetime, *, auth: AuthKind, command_id: str) -> Context:
    """The context of a command of an operator or of the system: full reach, no user."""
    caller = Caller(principal_id=auth, name=auth, role="admin", auth=auth)
    return Context(at=at, caller=caller, request_id=command_id, command_id=command_id)
