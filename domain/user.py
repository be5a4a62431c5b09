"""A person who works with tickets: profile, role, and the properties they belong to."""

from __future__ import annotations

from collections.abc import Mapping
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


class UserErased(DomainEvent, frozen=True, tag="user.erased"):
    """The person was erased: the key that encrypts their personal fields is destroyed."""


class UserPasswordChanged(DomainEvent, frozen=True, tag="user.password_changed"):
    """A password was set. The log contains neither the password nor its hash."""


UserEvent = (
    UserRegistered
    | UserNameChanged
    | UserEmailChanged
    | UserPhoneChanged
    | UserRoleChanged
    | UserPropertiesChanged
    | UserPreferencesChanged
    | UserErased
    | UserPasswordChanged
)


class UserIsErased(Conflict):
    def __init__(self, user_id: str) -> None:
        super().__init__(f"The user {user_id} is erased and can no longer be changed.")


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
    )
    name: str = ""
    email: str = ""
    phone: str | None = None
    role: Role = "guest"
    property_ids: tuple[str, ...] = ()
    preferences: Preferences = Preferences()
    is_erased: bool = False

    @classmethod
    def register(cls, user_id: str, context: Context, **facts: Any) -> User:
        """A new user; `facts` are the own fields of UserRegistered."""
        return cls.begin(user_id, context, **_with_sorted_properties(facts))

    @property
    def rights(self) -> Rights:
        return rights_of_person(self.role, self.property_ids)

    def may_work_on(self, property_id: str) -> bool:
        """Whether tickets of that property may be assigned to this person. Guests cannot be
        assignees."""
        return self.role == "admin" or (self.role != "guest" and property_id in self.property_ids)

    def change(self, values: Mapping[str, Any], context: Context) -> None:
        """Record an event for each change that `values` makes; see Aggregate.change."""
        super().change(_with_sorted_properties(values), context)

    def erase(self, context: Context) -> None:
        """Erase the personal data. The id, the person's actions and their assignments stay."""
        if not self.is_erased:
            self.record(UserErased, context)

    def change_password(self, context: Context) -> None:
        """Record that a password was set. The event does not reveal whether the password changed."""
        self.record(UserPasswordChanged, context)

    def record(self, event_type: type[DomainEvent], context: Context, **facts: Any) -> None:
        """Append one pending event and apply it; raise UserIsErased when the person is erased."""
        if self.is_erased:
            raise UserIsErased(self.id)
        super().record(event_type, context, **facts)

    def apply(self, event: UserEvent) -> None:
        if isinstance(event, UserErased):
            self.is_erased = True
            self.name, self.email, self.phone = ERASED_NAME, ERASED_EMAIL, None
            self.role, self.property_ids = "guest", ()
            self.preferences = Preferences()
        else:
            self.copy_fields(event)


def _with_sorted_properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `property_ids`, if given, sorted and without duplicates."""
    if "property_ids" not in values:
        return dict(values)
    return {**values, "property_ids": tuple(sorted(set(values["property_ids"])))}
