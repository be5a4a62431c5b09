"""/admin/users: the people who work with tickets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import falcon
import msgspec

from api.http.queries import convert_query
from api.http.sent_values import SentValues
from commands.passwords import has_password
from commands.users import NewUser, UserChanges, change_user, register_user
from domain.access import ROLES, Caller, Role, at_least, rights_of_person
from domain.errors import Details, Invalid, NotFound
from domain.text import SearchText
from domain.user import User
from infrastructure.ids import derive_id
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel.choosing import as_chosen, chosen_properties, resolve_property
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.invitations import invite
from pages.panel.object_history import newest_events
from pages.panel.openable import openable_names
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    page_of,
    pages_of,
    read_filters,
    status_of,
    typed_filters,
)
from projections.choices import Choices, find_properties, property_choices
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.users import FoundUser, UserQuery, get_user, list_users
from projections.views import Page, TicketSummary

SHOWN_TICKETS = 10
NEW_PERSON: Values = {
    "name": "",
    "email": "",
    "phone": "",
    "role": "staff",
    "property_ids": [],
    "notify_email": ["yes"],
    "notify_sms": [],
}
_NOTIFY = {"notify_email", "notify_sms"}  # the fields that make up the preferences


class PeopleFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: tuple[Role, ...] = ()
    property_id: str | None = None
    active: bool | None = None
    q: SearchText | None = None


class People(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("manager", "Find people")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, pool = req.context.caller, self.services.pool
        choices: dict[str, Any] = {"roles": ROLES, "properties": property_choices(pool, caller)}
        try:
            filters = read_filters(req, PeopleFilters)
            property_id = resolve_property(pool, caller, filters.property_id)
            page = list_users(pool, caller, convert_query(filters, UserQuery, property_id=property_id))
        except Invalid as refusal:
            self.show_refused_filters(req, resp, "people.html", PeopleFilters, refusal, people=[], **choices)
            return
        self.show(
            req,
            resp,
            "people.html",
            people=page.items,
            pages=pages_of(req, filters, page.total),
            filters=typed_filters(req, PeopleFilters),
            **choices,
        )


class PersonRegistration(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Show the form for a new person"),
        "POST": page_of("manager", "Register a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "person_new.html", form=ShownForm(NEW_PERSON), **choices(self, req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, details, context = req.context.form, Details(), self.command(req)
        values = sent_values({**NEW_PERSON, "role": ""}, form)
        try:
            new = SentValues(_fields(self, req, values, details), NewUser, details)
            user = register_user(self.services.store, new, context)
        except REFUSALS as refusal:
            self.show_refused(req, resp, "person_new.html", NEW_PERSON, refusal, **choices(self, req))
            return
        if form.value("next") == "invite":
            context = msgspec.structs.replace(context, command_id=derive_id(context.command_id, "invitation"))
            invite(self, req, resp, user.id, context)
            return
        self.go(resp, f"/admin/users/{user.id}", "user-registered", after=user)


class PersonPage(PanelPage):
    """Base of the pages of one person."""

    def visible(self, req: falcon.Request, user_id: str) -> FoundUser:
        """The person. Raises NotFound if the person does not exist or the caller may not see them."""
        row = get_user(self.services.pool, user_id)
        if row is None or not req.context.caller.may_see_user(user_id, row.property_ids):
            raise NotFound("user")
        return row


class PersonItem(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Show a person"),
        "POST": page_of("manager", "Change a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        row = self.visible(req, user_id)
        user = self.services.store.load(User, user_id)
        given = self._given(req, row, user)
        values = _as_shown(person_values(user, req.context.caller), given["properties"], _lines_of(row))
        form = ShownForm(values, version=user.version)
        self.show(req, resp, "person.html", person=row.detail, form=form, **given)

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        row, form = self.visible(req, user_id), req.context.form
        found = find_properties(self.services.pool, req.context.caller, form.lines("property_ids"))

        def read() -> Edit:
            sent = form.with_lines("property_ids", found)
            values_of = partial(person_values, caller=req.context.caller)
            return read_edit(self.services.store, User, user_id, sent, values_of)

        def change(edit: Edit) -> User:
            return self._change(req, user_id, edit)

        try:
            user = self.save(req, User, user_id, read, change)
        except REFUSALS as refusal:
            if not _may_change(req.context.caller, row):
                raise
            edit, given = read(), self._given(req, row, self.services.store.load(User, user_id))
            lines = _lines_of(row) | {property_id: text for text, property_id in found.items()}
            names = {place.id: place.name for place in row.detail.properties}
            shown = edit._replace(values=_as_shown(edit.values, given["properties"], lines))
            again = refused_edit(shown, form, refusal, names)
            status = status_of(refusal)
            self.show(req, resp, "person.html", status=status, person=row.detail, form=again, **given)
            return
        self.go(resp, f"/admin/users/{user_id}", "user-saved", after=user)

    def _given(self, req: falcon.Request, row: FoundUser, user: User) -> dict[str, Any]:
        may_change = _may_change(req.context.caller, row)
        caller, user_id = req.context.caller, row.detail.id
        assigned = self._tickets(caller, TicketQuery(assigned_to=(user_id,), limit=SHOWN_TICKETS))
        requested = self._tickets(caller, TicketQuery(requester_id=(user_id,), limit=SHOWN_TICKETS))
        return {
            **choices(self, req),
            "may_change": may_change,
            "is_erased": user.is_erased,
            "has_password": has_password(self.services.store, user.id),
            "assigned": assigned,
            "requested": requested,
            "openable": openable_names(self.services.pool, caller, [*assigned.items, *requested.items]),
            "reached": [place for place in row.detail.properties if caller.reaches(place.id)],
            "events": newest_events(self.services, user_id),
        }

    def _tickets(self, caller: Caller, query: TicketQuery) -> Page[TicketSummary]:
        return list_tickets(self.services.pool, caller, query)

    def _change(self, req: falcon.Request, user_id: str, edit: Edit) -> User:
        details: Details = {}
        changed = dict(edit.changed)
        if changed.keys() & _NOTIFY:
            changed |= {name: edit.values[name] for name in _NOTIFY}  # preferences are replaced as a whole
        changes = SentValues(_fields(self, req, changed, details), UserChanges, details)
        expected = frozenset((edit.version,))
        return change_user(self.services.store, user_id, changes, self.command(req), expected)


def choices(page: PanelPage, req: falcon.Request) -> dict[str, Any]:
    """The roles that the caller may give, and the properties within reach."""
    caller: Caller = req.context.caller
    return {
        "roles": [role for role in ROLES if at_least(caller.role, role)],
        "properties": property_choices(page.services.pool, caller),
    }


def _may_change(caller: Caller, row: FoundUser) -> bool:
    return caller.rights.includes(rights_of_person(row.detail.role, row.property_ids))


def person_values(user: User, caller: Caller) -> Values:
    """The values of the form about a person, with the ids of the properties within the caller's reach."""
    notifications = user.preferences.notifications
    return {
        "name": user.name,
        "email": user.email,
        "phone": user.phone or "",
        "role": user.role,
        "property_ids": [property_id for property_id in user.property_ids if caller.reaches(property_id)],
        "notify_email": ["yes"] if notifications.email else [],
        "notify_sms": ["yes"] if notifications.sms else [],
    }


def _as_shown(values: Values, properties: Choices, lines: Mapping[str, str]) -> Values:
    return {**values, "property_ids": as_chosen(properties, values["property_ids"], lines)}


def _lines_of(row: FoundUser) -> dict[str, str]:
    """The text of each property of a person, for forms in which properties are typed one per line."""
    return {place.id: " ".join((place.id, *place.name.split())) for place in row.detail.properties}


def _fields(page: PanelPage, req: falcon.Request, values: Values, details: Details) -> dict[str, Any]:
    """These form values as fields of a NewUser or UserChanges. Adds unknown properties
    to `details`."""
    given: dict[str, Any] = {name: values[name] for name in ("name", "email", "role") if name in values}
    if "phone" in values:
        given["phone"] = str(values["phone"]).strip() or None
    if "property_ids" in values:
        given["property_ids"] = chosen_properties(page, req, values["property_ids"], details)
    if values.keys() >= _NOTIFY:
        notifications = {name.removeprefix("notify_"): bool(values[name]) for name in _NOTIFY}
        given["preferences"] = {"notifications": notifications}
    return given
