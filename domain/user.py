"""A person who works with tickets: profile, role, and the properties they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec

from domain.access import Context, Rights, Role, rights_of_person
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict

ERASED_NAME = "Erased user"
ERASED_EMAIL = "erased@user.invalid"  # a domain that does not exist (RFC 2606)
Personal = Annotated[
    str,
    msgspec.Meta(
        description="Personal: encrypted in the log and in Kafka, as `sealed:v1:` and base64.",
        extra_json_schema={"x-personal": True},
    ),
]


class Notifications(msgspec.Struct, frozen=True, kw_only=True):
    """How the person wants to be notified. Only stored, for other systems: this system sends no messages."""

    email: bool = True
    sms: bool = False


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    notifications: Notifications = Notifications()


class UserRegistered(DomainEvent, frozen=True, tag="user.registered"):
    personal: ClassVar[Mapping[str, str | None]] = {"name": ERASED_NAME, "email": ERASED_EMAIL, "phone": None}
    name: Personal
    email: Personal
    phone: Personal | None
    role: Role
    property_ids: tuple[str, ...]
    preferences: Preferences
    external_ids: dict[str, str] = {}


class UserNameChanged(DomainEvent, frozen=True, tag="user.name_changed"):
    personal: ClassVar[Mapping[str, str | None]] = {"name": ERASED_NAME}
    name: Personal


class UserEmailChanged(DomainEvent, frozen=True, tag="user.email_changed"):
    personal: ClassVar[Mapping[str, str | None]] = {"email": ERASED_EMAIL}
    email: Personal


class UserPhoneChanged(DomainEvent, frozen=True, tag="user.phone_changed"):
    personal: ClassVar[Mapping[str, str | None]] = {"phone": None}
    phone: Personal | None


class UserRoleChanged(DomainEvent, frozen=True, tag="user.role_changed"):
    role: Role


class UserPropertiesChanged(DomainEvent, frozen=True, tag="user.properties_changed"):
    property_ids: tuple[str, ...]


class UserPreferencesChanged(DomainEvent, frozen=True, tag="user.preferences_changed"):
    preferences: Preferences


class UserExternalIdsChanged(DomainEvent, frozen=True, tag="user.external_ids_changed"):
    """The person has these ids in other systems, by source, and no others. They are not encrypted."""

    external_ids: dict[str, str]


class UserDeactivated(DomainEvent, frozen=True, tag="user.deactivated"):
    """The person has left: they can no longer sign in, their credentials are refused, and no ticket can be
    assigned to them. Their name stays."""


class UserReactivated(DomainEvent, frozen=True, tag="user.reactivated"):
    """A deactivated person may sign in and work again. Their API keys and tokens are valid again."""


class UserErased(DomainEvent, frozen=True, tag="user.erased"):
    """The person was erased: the key that encrypts their personal fields is destroyed."""


class UserPasswordChanged(DomainEvent, frozen=True, tag="user.password_changed"):
    """A password was set. The log contains neither the password nor its hash."""


class UserLinkIssued(DomainEvent, frozen=True, tag="user.link_issued"):
    """A one-time link was issued, with which the person can set a password. `link_id` is the credential of
    the password change that uses it. The log contains neither the link nor its hash."""

    link_id: str
    expires_at: datetime


UserEvent = (
    UserRegistered
    | UserNameChanged
    | UserEmailChanged
    | UserPhoneChanged
    | UserRoleChanged
    | UserPropertiesChanged
    | UserPreferencesChanged
    | UserExternalIdsChanged
    | UserDeactivated
    | UserReactivated
    | UserErased
    | UserPasswordChanged
    | UserLinkIssued
)


class UserIsErased(Conflict):
    def __init__(self, user_id: str) -> None:
        super().__init__(f"The user {user_id} is erased and can no longer be changed.")


class UserIsDeactivated(Conflict):
    def __init__(self, user_id: str) -> None:
        super().__init__(f"The user {user_id} is deactivated. Reactivate the user first.")


class User(Aggregate):
    """`property_ids` is sorted and without duplicates."""

    kind: ClassVar[str] = "user"
    first_event: ClassVar[type[DomainEvent]] = UserRegistered
    field_changes: ClassVar[tuple[type[DomainEvent], ...]] = (
        UserPropertiesChanged,
        UserNameChanged,
        UserEmailChanged,
        UserPhoneChanged,
        UserRoleChanged,
        UserPreferencesChanged,
        UserExternalIdsChanged,
    )
    name: str = ""
    email: str = ""
    phone: str | None = None
    role: Role = "guest"
    property_ids: tuple[str, ...] = ()
    preferences: Preferences = Preferences()
    external_ids: dict[str, str] = {}
    is_active: bool = True
    is_erased: bool = False

    @classmethod
    def register(cls, user_id: str, context: Context, **facts: Any) -> User:
        """A new user; `facts` are the own fields of UserRegistered."""
        return cls.begin(user_id, context, **_with_sorted_properties(facts))

    @property
    def rights(self) -> Rights:
        return rights_of_person(self.role, self.property_ids)

    def may_work_on(self, property_id: str) -> bool:
        """Whether tickets of that property may be assigned to this person. Guests and deactivated people
        cannot be assignees."""
        reaches = self.role == "admin" or (self.role != "guest" and property_id in self.property_ids)
        return self.is_active and reaches

    def may_request_for(self, property_id: str) -> bool:
        """Whether this person may become the requester of a ticket of that property: active people of the
        property, and active admins."""
        return self.is_active and (self.role == "admin" or property_id in self.property_ids)

    def change(self, values: Mapping[str, Any], context: Context) -> None:
        """Record an event for each change that `values` makes; see Aggregate.change."""
        super().change(_with_sorted_properties(values), context)

    def set_active(self, is_active: bool, context: Context) -> None:
        """Deactivate or reactivate the person; do nothing if they are in that state already."""
        if self.is_active != is_active:
            self.record(UserReactivated if is_active else UserDeactivated, context)

    def erase(self, context: Context) -> None:
        """Erase the personal data. The id, the person's actions and their assignments stay."""
        if not self.is_erased:
            self.record(UserErased, context)

    def change_password(self, context: Context) -> None:
        """Record that a password was set. The event does not reveal whether the password changed."""
        self.record(UserPasswordChanged, context)

    def issue_link(self, link_id: str, expires_at: datetime, context: Context) -> None:
        """Record a one-time link. Raises UserIsDeactivated."""
        if not self.is_active and not self.is_erased:
            raise UserIsDeactivated(self.id)
        self.record(UserLinkIssued, context, link_id=link_id, expires_at=expires_at)

    def record(self, event_type: type[DomainEvent], context: Context, **facts: Any) -> None:
        """Append one pending event and apply it; raise UserIsErased when the person is erased."""
        if self.is_erased:
            raise UserIsErased(self.id)
        super().record(event_type, context, **facts)

    def apply(self, event: UserEvent) -> None:
        if isinstance(event, UserLinkIssued):
            return
        if isinstance(event, UserDeactivated | UserReactivated):
            self.is_active = isinstance(event, UserReactivated)
        elif isinstance(event, UserErased):
            self.is_erased, self.is_active = True, False
            self.name, self.email, self.phone = ERASED_NAME, ERASED_EMAIL, None
            self.role, self.property_ids = "guest", ()
            self.preferences, self.external_ids = Preferences(), {}
        else:
            self.copy_fields(event)


def _with_sorted_properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `property_ids`, if given, sorted and without duplicates."""
    if "property_ids" not in values:
        return dict(values)
    return {**values, "property_ids": tuple(sorted(set(values["property_ids"])))}
