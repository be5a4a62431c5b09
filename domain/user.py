"""A person who works with tickets: profile, role, and the properties they belong to."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from domain.access import Context, Role
from domain.aggregate import Aggregate, DomainEvent


class Notifications(msgspec.Struct, frozen=True, kw_only=True):
    email: bool = True
    sms: bool = False


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    notifications: Notifications = Notifications()


class UserRegistered(DomainEvent, frozen=True, tag="user.registered"):
    name: str
    email: str
    phone: str | None
    role: Role
    property_ids: tuple[str, ...]
    preferences: Preferences


class UserNameChanged(DomainEvent, frozen=True, tag="user.name_changed"):
    name: str


class UserEmailChanged(DomainEvent, frozen=True, tag="user.email_changed"):
    email: str


class UserPhoneChanged(DomainEvent, frozen=True, tag="user.phone_changed"):
    phone: str | None


class UserRoleChanged(DomainEvent, frozen=True, tag="user.role_changed"):
    role: Role


class UserPropertiesChanged(DomainEvent, frozen=True, tag="user.properties_changed"):
    property_ids: tuple[str, ...]


class UserPreferencesChanged(DomainEvent, frozen=True, tag="user.preferences_changed"):
    preferences: Preferences


UserEvent = (
    UserRegistered
    | UserNameChanged
    | UserEmailChanged
    | UserPhoneChanged
    | UserRoleChanged
    | UserPropertiesChanged
    | UserPreferencesChanged
)


class User(Aggregate):
    """`property_ids` is sorted and holds no repeats."""

    kind: ClassVar[str] = "user"
    first_event: ClassVar[type[DomainEvent]] = UserRegistered
    name: str = ""
    email: str = ""
    phone: str | None = None
    role: Role = "guest"
    property_ids: tuple[str, ...] = ()
    preferences: Preferences = Preferences()

    @classmethod
    def register(
        cls,
        user_id: str,
        context: Context,
        *,
        name: str,
        email: str,
        phone: str | None,
        role: Role,
        property_ids: tuple[str, ...],
        preferences: Preferences,
    ) -> User:
        user = cls(id=user_id)
        user.record(
            UserRegistered,
            context,
            name=name,
            email=email,
            phone=phone,
            role=role,
            property_ids=_canonical(property_ids),
            preferences=preferences,
        )
        return user

    def may_work_on(self, property_id: str) -> bool:
        """Whether tickets of that property may be assigned to this person. Guests only request."""
        return self.role == "admin" or (self.role != "guest" and property_id in self.property_ids)

    def change_name(self, name: str, context: Context) -> None:
        if name != self.name:
            self.record(UserNameChanged, context, name=name)

    def change_email(self, email: str, context: Context) -> None:
        if email != self.email:
            self.record(UserEmailChanged, context, email=email)

    def change_phone(self, phone: str | None, context: Context) -> None:
        if phone != self.phone:
            self.record(UserPhoneChanged, context, phone=phone)

    def change_role(self, role: Role, context: Context) -> None:
        if role != self.role:
            self.record(UserRoleChanged, context, role=role)

    def change_properties(self, property_ids: tuple[str, ...], context: Context) -> None:
        if _canonical(property_ids) != self.property_ids:
            self.record(UserPropertiesChanged, context, property_ids=_canonical(property_ids))

    def change_preferences(self, preferences: Preferences, context: Context) -> None:
        if preferences != self.preferences:
            self.record(UserPreferencesChanged, context, preferences=preferences)

    def apply(self, event: UserEvent) -> None:
        match event:
            case UserRegistered():
                self.name = event.name
                self.email = event.email
                self.phone = event.phone
                self.role = event.role
                self.property_ids = event.property_ids
                self.preferences = event.preferences
            case UserNameChanged():
                self.name = event.name
            case UserEmailChanged():
                self.email = event.email
            case UserPhoneChanged():
                self.phone = event.phone
            case UserRoleChanged():
                self.role = event.role
            case UserPropertiesChanged():
                self.property_ids = event.property_ids
            case UserPreferencesChanged():
                self.preferences = event.preferences


def _canonical(property_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(property_ids)))
