"""Callers, their roles and rights, and the context of a command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

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

TIME_TO_TAKE_BACK = timedelta(hours=1)  # in which authors may edit or remove what they added
ROLES: tuple[Role, ...] = get_args(Role)
SCOPES: tuple[Scope, ...] = get_args(Scope)
_RANK: dict[str, int] = {"guest": 0, "staff": 1, "manager": 2, "admin": 3}


def lesser_role(one: Role, other: Role) -> Role:
    """The lower of two roles."""
    return one if _RANK[one] <= _RANK[other] else other


def at_least(role: Role, needed: Role) -> bool:
    return _RANK[role] >= _RANK[needed]


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """A role and the properties it holds for; `property_ids` None means every property."""

    role: Role
    property_ids: frozenset[str] | None

    def includes(self, other: Rights) -> bool:
        """Whether neither the role nor the reach of `other` exceeds those of these rights."""
        return at_least(self.role, other.role) and self.reach_includes(other)

    def reach_includes(self, other: Rights) -> bool:
        """Whether these rights reach every property that `other` reaches."""
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
    """The rights of a person. An admin reaches every property, regardless of `property_ids`."""
    return Rights(role=role, property_ids=None if role == "admin" else frozenset(property_ids))


def rights_of_credential(role: Role, property_ids: Iterable[str]) -> Rights:
    """The upper limit of the rights of an API key or OAuth client; an empty list means every property.

    `effective_rights` computes its rights when it acts for a person.
    """
    return Rights(role=role, property_ids=frozenset(property_ids) or None)


class EffectiveRights(Rights, frozen=True, kw_only=True):
    """The rights of a caller. `key_property_ids` are the properties to which its key or application is
    restricted, or None. `is_narrowed`: the rights are less than those of its person."""

    key_property_ids: frozenset[str] | None
    is_narrowed: bool


def effective_rights(
    person: tuple[Role, Iterable[str]] | None,
    credential: tuple[Role, Iterable[str]] | None = None,
    *,
    at_most: Role = "admin",
) -> EffectiveRights:
    """The rights of a person who signed in, of a credential of no person, or of both together.

    Both are given as their stored role and property ids. A credential that acts for a person may do only what
    the rights of both allow. `at_most` limits the role further.
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

    @property
    def principal_id(self) -> str:
        """The `principal_id` of the caller."""
        return self.user_id or self.credential_id or self.auth


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person, key or application, with its rights.

    `principal_id` is the id of the user or, for a service key without a user, the id of the key.
    `property_ids` None: every property is within reach. For `key_property_ids` and `is_narrowed` see
    EffectiveRights.
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
        """Whether the caller may read the history of deleted tickets."""
        return "audit:read" in self.scopes and self.is_at_least("staff")

    @property
    def reads_all_tickets_of_owner(self) -> bool:
        """Whether the caller may read every ticket that its person, or the service key itself, may read."""
        return "tickets:read" in self.scopes and not self.is_narrowed

    @property
    def is_full_admin(self) -> bool:
        """Whether the caller is an admin who reaches every property."""
        return self.role == "admin" and self.property_ids is None

    @property
    def holder(self) -> str | None:
        """The id under which idempotency keys are stored; each user of an OAuth client has a different
        one."""
        return f"{self.credential_id}/{self.user_id or ''}" if self.auth == "oauth" else self.credential_id

    def is_at_least(self, role: Role) -> bool:
        return at_least(self.role, role)

    def reaches(self, property_id: str) -> bool:
        return self.property_ids is None or property_id in self.property_ids

    def may_see_ticket(self, property_id: str, requester_id: str) -> bool:
        """Whether the caller may see a ticket. Guests see the tickets that they requested, limited to the
        properties of a restricted key. All others see the tickets of the properties in reach."""
        if self.role == "guest":
            within = self.key_property_ids is None or property_id in self.key_property_ids
            return within and requester_id == self.principal_id
        return self.reaches(property_id)

    def may_see_user(self, user_id: str, user_property_ids: frozenset[str] | tuple[str, ...]) -> bool:
        """Whether the caller may see a person: themselves, and for staff and above the people of the
        properties in reach."""
        if user_id == self.user_id:
            return True
        if self.role == "guest":
            return False
        return self.property_ids is None or not self.property_ids.isdisjoint(user_property_ids)

    def sees_private_fields_of(self, user_id: str) -> bool:
        """Whether the caller sees a person's phone and preferences: their own, and for managers and above
        all."""
        return user_id == self.user_id or self.is_at_least("manager")

    def require(self, role: Role, action: str) -> None:
        """Raise Forbidden unless the role is `role` or above; `action` completes "may not ..."."""
        if not self.is_at_least(role):
            raise Forbidden(f"The role {self.role} may not {action}; {role} or above may.")

    def may_take_back(self, author_id: str, created_at: datetime, now: datetime) -> bool:
        """Whether the caller may edit or remove a comment or file of a ticket that they may see: its author
        within an hour, managers and above at any time."""
        is_author = author_id == self.principal_id and now - created_at <= TIME_TO_TAKE_BACK
        return is_author or self.is_at_least("manager")

    def require_may_take_back(self, author_id: str, created_at: datetime, now: datetime, what: str) -> None:
        """Raise Forbidden unless `may_take_back`; `what` names the object, such as "comment"."""
        if not self.may_take_back(author_id, created_at, now):
            raise Forbidden(
                f"You may not edit or remove this {what}: only its author may within an hour, and managers"
                " and admins at any time."
            )

    def require_rights(self, needed: Rights, action: str) -> None:
        """Raise Forbidden unless the caller's rights include `needed`.

        No caller may create, change, erase or issue anything whose role or reach exceeds their own. `action`
        completes "may not ..." and names the object, such as "change this person".
        """
        if not at_least(self.role, needed.role):
            raise Forbidden(f"The role {self.role} may not {action}: that requires the role {needed.role}.")
        if not self.rights.reach_includes(needed):
            reach = "every property" if needed.property_ids is None else "properties beyond your reach"
            raise Forbidden(
                f"You may not {action}, with access to {reach}. Ask an admin who reaches them all."
            )

    def require_scopes(self, needed: Iterable[str], action: str) -> None:
        """Raise Forbidden unless the caller has all of these scopes; unknown scopes are ignored.
        `action` completes "may not ..."."""
        if missing := sorted(set(SCOPES).intersection(needed) - self.scopes):
            raise Forbidden(f"You may not {action} with scopes that you lack: {', '.join(missing)}.")

    def require_full_reach(self, action: str) -> None:
        """Raise Forbidden unless the caller reaches every property; `action` completes "may not ..."."""
        if self.property_ids is not None:
            raise Forbidden(f"A key that is restricted to properties may not {action}.")


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Who imported an event, when, and from which source. Its time and actor are then those of the source.
    `notify`: webhooks get messages about it."""

    by: Actor
    at: datetime
    source: str
    notify: bool = False


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The context of one command, written into every event that it causes.

    `command_id` identifies the command: a repeated delivery, after a retried request or a lost COMMIT reply,
    has the same id. It is also the id of a new aggregate. `is_retry`: an earlier delivery may have been
    stored. `attempt`, if set, distinguishes the deliveries of one command, so that each records events with
    other ids. `source_prefix` is the caller's network prefix (/24 or /48), not the address. `imported` is
    set by an import, whose `at` and `caller` are those of the source.
    """

    at: datetime
    caller: Caller
    request_id: str
    command_id: str
    is_retry: bool = False
    attempt: str | None = None
    source_prefix: str | None = None
    imported: Imported | UnsetType = UNSET


def system_context(at: datetime, *, auth: AuthKind, command_id: str) -> Context:
    """The context of a command of an operator or of the system: an admin with full reach, without a user."""
    caller = Caller(principal_id=auth, name=auth, role="admin", auth=auth)
    return Context(at=at, caller=caller, request_id=command_id, command_id=command_id)
