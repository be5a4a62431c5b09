"""A person who works with tickets: profile, role, and the properties they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec

from domain.access import Context, Rights, Role, rights_of_person
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict

ERASED_NAME = "Erased user"
ERASED_EMAIL = "erased@user.invalid"  # a domain that is nobody's (RFC 2606)
Personal = Annotated[
    str,
    msgspec.Meta(
        description="Personal: sealed, `sealed:v1:` and base64, in the log and in Kafka.",
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
    """The person asked to be forgotten: the key their personal fields are sealed under is destroyed."""


class UserPasswordChanged(DomainEvent, frozen=True, tag="user.password_changed"):
    """That there is a new password, or a first one. Nothing of it is in the log."""


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
    """`property_ids` is sorted and holds no repeats."""

    kind: ClassVar[str] = "user"
    first_event: ClassVar[type[DomainEvent]] = UserRegistered
    name: str = ""
    email: str = ""
    phone: str | None = None
    role: Role = "guest"
    property_ids: tuple[str, ...] = ()
    preferences: Preferences = Preferences()
    is_erased: bool = False

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

    @property
    def rights(self) -> Rights:
        return rights_of_person(self.role, self.property_ids)

    def may_work_on(self, property_id: str) -> bool:
        """Whether tickets of that property may be assigned to this person. Guests only request."""
        return self.role == "admin" or (self.role != "guest" and property_id in self.property_ids)

    def change_name(self, name: str, context: Context) -> None:
        if name != self.name:
            self._change(UserNameChanged, context, name=name)

    def change_email(self, email: str, context: Context) -> None:
        if email != self.email:
            self._change(UserEmailChanged, context, email=email)

    def change_phone(self, phone: str | None, context: Context) -> None:
        if phone != self.phone:
            self._change(UserPhoneChanged, context, phone=phone)

    def change_role(self, role: Role, context: Context) -> None:
        if role != self.role:
            self._change(UserRoleChanged, context, role=role)

    def change_properties(self, property_ids: tuple[str, ...], context: Context) -> None:
        if _canonical(property_ids) != self.property_ids:
            self._change(UserPropertiesChanged, context, property_ids=_canonical(property_ids))

    def change_preferences(self, preferences: Preferences, context: Context) -> None:
        if preferences != self.preferences:
            self._change(UserPreferencesChanged, context, preferences=preferences)

    def erase(self, context: Context) -> None:
        """Forget who this is. The id stays, and with it what the person did and was assigned."""
        if not self.is_erased:
            self.record(UserErased, context)

    def change_password(self, context: Context) -> None:
        """Note that it changed: whether the new one is another is nobody's to know."""
        self._change(UserPasswordChanged, context)

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
            case UserPasswordChanged():
                pass
            case UserErased():
                self.is_erased = True
                self.name, self.email, self.phone = ERASED_NAME, ERASED_EMAIL, None
                self.role, self.property_ids = "guest", ()
                self.preferences = Preferences()

    def _change(self, event_type: type[DomainEvent], context: Context, **facts: Any) -> None:
        if self.is_erased:
            raise UserIsErased(self.id)
        self.record(event_type, context, **facts)


def _canonical(property_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(property_ids)))
