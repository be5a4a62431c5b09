"""/admin/users: the people who work with tickets."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import falcon
from msgspec.structs import asdict

from api.admin.choosing import as_chosen, chosen_properties
from api.admin.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    checked,
    filled,
    page_of,
    pages_of,
    read_filters,
    typed_filters,
    versions_of,
)
from api.queries import narrowed
from api.resource import Operation
from api.users import NewUser, UserChanges
from api.web.forms import Form
from commands.erasure import EraseUser, erase_user
from commands.passwords import ChangePassword, change_password
from commands.users import ChangeUser, RegisterUser, change_user, register_user
from domain.access import ROLES, Caller, Role, at_least
from domain.errors import Details, DomainError, Invalid, NotFound
from domain.text import SearchText
from domain.user import Notifications, Preferences
from infrastructure.passwords import HashingBusy
from projections.choices import find_properties, property_choices
from projections.users import UserQuery, UserRow, get_user, list_users

T = TypeVar("T")


class PeopleFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: tuple[Role, ...] = ()
    property_id: str | None = None
    q: SearchText | None = None


class People(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {"GET": page_of("manager", "Find people")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        filters = read_filters(req, PeopleFilters)
        caller, pool, place = req.context.caller, self.services.pool, filters.property_id
        property_id = place and find_properties(pool, caller, [place]).get(place, place)
        query = narrowed(filters, UserQuery, property_id=property_id)
        page = list_users(pool, caller, query)
        self.show(
            req,
            resp,
            "people.html",
            people=page.items,
            pages=pages_of(req, filters, page.total),
            values=typed_filters(req),
            roles=ROLES,
            properties=property_choices(pool, caller),
        )


class PersonRegistration(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("manager", "Describe a new person"),
        "POST": page_of("manager", "Register a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        values = filled(role="staff", notify_email="yes")
        self.show(req, resp, "person_new.html", values=values, **choices(self, req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            new = _checked_person(self, req, NewUser)
            context = self.command(req)
            command = RegisterUser(
                user_id=context.command_id,
                name=new.name,
                email=new.email,
                phone=new.phone,
                role=new.role,
                property_ids=new.property_ids,
                preferences=_preferences(req.context.form),
            )
            user = register_user(self.services.store, command, context)
        except REFUSALS as refusal:
            self.show_again(req, resp, "person_new.html", refusal, **choices(self, req))
            return
        self.go(resp, f"/admin/users/{user.id}", "user-registered", after=user)


class PersonPage(PanelPage):
    """Base of the pages of one person."""

    def visible(self, req: falcon.Request, user_id: str) -> UserRow:
        """The person, or NotFound when absent or outside the caller's sight."""
        row = get_user(self.services.pool, user_id)
        if row is None or not req.context.caller.may_see_user(user_id, row.property_ids):
            raise NotFound("user")
        return row

    def show_person(
        self, req: falcon.Request, resp: falcon.Response, row: UserRow, refusal: DomainError | None = None
    ) -> None:
        """The person's form, as they are or, when it was refused, as it was sent."""
        given = {"person": row.detail, "version": row.version, **choices(self, req)}
        detail = row.detail
        places = [place for place in detail.properties if req.context.caller.reaches(place.id)]
        notifications = detail.preferences.notifications if detail.preferences else Notifications()
        values = filled(
            name=detail.name,
            email=detail.email,
            phone=detail.phone,
            role=detail.role,
            property_ids=as_chosen(given["properties"], places),
            notify_email="yes" if notifications.email else None,
            notify_sms="yes" if notifications.sms else None,
        )
        if refusal is not None:
            names = {place.id: place.name for place in places}
            self.show_again(req, resp, "person.html", refusal, now=values, called=names, **given)
            return
        self.show(req, resp, "person.html", values=values, **given)


class PersonItem(PersonPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("manager", "Read about a person"),
        "POST": page_of("manager", "Change a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        self.show_person(req, resp, self.visible(req, user_id))

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        row = self.visible(req, user_id)
        try:
            changes = asdict(_checked_person(self, req, UserChanges))
            changes["preferences"] = _preferences(req.context.form)
            expected = versions_of(req.context.form)
            command = ChangeUser(user_id=user_id, expected_versions=expected, **changes)
            user = change_user(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_person(req, resp, row, refusal)
            return
        self.go(resp, f"/admin/users/{user_id}", "user-saved", after=user)


class PersonPassword(PersonPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("admin", "Choose a password for a person"),
        "POST": page_of("admin", "Set a person's password"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        self.show(req, resp, "person_password.html", person=self.visible(req, user_id).detail)

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        password = req.context.form.value("password")
        try:
            if password != req.context.form.value("again"):
                raise Invalid({"again": ["The two do not match."]})
            command = ChangePassword(user_id=user_id, password=password)
            change_password(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_again(req, resp, "person_password.html", refusal, values=filled(), person=person)
            return
        except HashingBusy:
            busy = Invalid({"": ["Many passwords are being checked just now. Try again in a second."]})
            self.show_again(req, resp, "person_password.html", busy, values=filled(), person=person)
            return
        self.go(resp, f"/admin/users/{user_id}", "password-set")


class PersonErasure(PersonPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("admin", "Ask before a person is erased"),
        "POST": page_of("admin", "Erase a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.show(
            req,
            resp,
            "confirm.html",
            title="Erase this person?",
            name=person.name,
            consequence="Name, e-mail address and phone are destroyed everywhere, in the log and in backups"
            " too, and their keys and sessions stop. What they did stays under their id. It cannot be"
            " undone.",
            action="Erase person",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        user = erase_user(self.services.store, EraseUser(user_id=user_id), self.command(req))
        self.go(resp, "/admin/users", "user-erased", after=user)


def choices(page: PanelPage, req: falcon.Request) -> dict[str, Any]:
    """The roles the caller may give, and the properties within reach."""
    caller: Caller = req.context.caller
    return {
        "roles": [role for role in ROLES if at_least(caller.role, role)],
        "properties": property_choices(page.services.pool, caller),
    }


def _checked_person(page: PanelPage, req: falcon.Request, kind: type[T]) -> T:
    """The form as a NewUser or UserChanges; Invalid naming each field that is not what it should be."""
    form, details = req.context.form, Details()
    fields = {
        "name": form.value("name"),
        "email": form.value("email"),
        "phone": form.text("phone") or None,
        "role": form.value("role"),
        "property_ids": chosen_properties(page, req, details),
    }
    return checked(fields, kind, details)


def _preferences(form: Form) -> Preferences:
    notifications = Notifications(email=bool(form.value("notify_email")), sms=bool(form.value("notify_sms")))
    return Preferences(notifications=notifications)
