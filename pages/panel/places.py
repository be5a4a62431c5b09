"""/admin/properties: properties and their units."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
from msgspec.structs import asdict

from api.http.sent_values import SentValues
from commands.properties import (
    NewProperty,
    PropertyChanges,
    change_property,
    register_property,
)
from commands.unit_list import Line, ListedUnit, UnitsOfList, add_units
from domain.access import Caller
from domain.errors import Details, DomainError, Invalid, NotFound
from domain.property import Property
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel import flash
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.object_history import events_of_unit, newest_events
from pages.panel.openable import openable_names
from pages.panel.page import (
    PER_PAGE,
    REFUSALS,
    ListQuery,
    PanelPage,
    page_of,
    pages_of,
    read_filters,
    refused_form,
    status_of,
)
from projections.paging import Slice
from projections.properties import (
    FoundProperty,
    count_active_tickets,
    get_property,
    get_unit,
    list_properties,
    list_units,
)
from projections.ticket_filters import TicketQuery
from projections.tickets import list_tickets
from projections.users import UserQuery, list_users
from projections.views import Page, TicketSummary, UserSummary

_ADDRESS = ("street", "city", "state", "zip", "country")
NEW_PROPERTY: Values = dict.fromkeys(("name", *_ADDRESS), "")
NEW_UNITS: Values = {"unit_names": ""}
SHOWN_PEOPLE = 8
SHOWN_REFUSED = 20  # lines of a list of units


class PropertyList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("manager", "List properties")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_filters(req, ListQuery)
        part = Slice(limit=query.limit, offset=query.offset)
        page = list_properties(self.services.pool, req.context.caller, part)
        self.show(req, resp, "properties.html", properties=page.items, pages=pages_of(req, query, page.total))


class PropertyRegistration(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Show the form for a new property"),
        "POST": page_of("admin", "Register a property"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "property_new.html", form=ShownForm(NEW_PROPERTY))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            values = SentValues(_fields(sent_values(NEW_PROPERTY, req.context.form)), NewProperty)
            managed = register_property(self.services.store, values, self.command(req))
        except REFUSALS as refusal:
            self.show_refused(req, resp, "property_new.html", NEW_PROPERTY, _flatten(refusal))
            return
        self.go(resp, f"/admin/properties/{managed.id}", "property-registered", after=managed)


class PropertyPage(PanelPage):
    """Base of the pages of one property."""

    def visible(self, req: falcon.Request, property_id: str) -> FoundProperty:
        row = get_property(self.services.pool, property_id)
        if row is None or not req.context.caller.reaches(property_id):
            raise NotFound("property")
        return row

    def show_property(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: FoundProperty,
        *,
        status: int = 200,
        place: ShownForm | None = None,
        adding: ShownForm | None = None,
        listed: UnitsOfList | None = None,
    ) -> None:
        """Show the property with its two forms: `place` (name and address) and `adding` (new units).

        Pass a form that was refused; the default is the form with the current values. `listed` is the outcome
        of a list of units.
        """
        query = read_filters(req, ListQuery)
        part = Slice(limit=query.limit, offset=query.offset)
        pool, property_id = self.services.pool, row.detail.id
        units = list_units(pool, property_id, part)
        tickets = self.tickets(req.context.caller, TicketQuery(property_id=(property_id,), limit=PER_PAGE))
        if place is None:
            managed = self.services.store.load(Property, row.detail.id)
            place = ShownForm(place_values(managed), version=managed.version)
        self.show(
            req,
            resp,
            "property.html",
            status=status,
            property=row.detail,
            units=units.items,
            active=count_active_tickets(pool, property_id, [unit.id for unit in units.items]),
            pages=pages_of(req, query, units.total),
            tickets=tickets,
            openable=openable_names(pool, req.context.caller, tickets.items),
            staff=self._people(req.context.caller, property_id, ("manager", "staff")),
            tenants=self._people(req.context.caller, property_id, ("guest",)),
            events=newest_events(self.services, property_id),
            place=place,
            listed=listed,
            shown_refused=SHOWN_REFUSED,
            adding=adding or ShownForm(NEW_UNITS),
        )

    def tickets(self, caller: Caller, query: TicketQuery) -> Page[TicketSummary]:
        return list_tickets(self.services.pool, caller, query)

    def _people(self, caller: Caller, property_id: str, roles: tuple[str, ...]) -> Page[UserSummary]:
        """The newest active people of the property with these roles."""
        query = UserQuery(property_id=(property_id,), role=roles, active=True, limit=SHOWN_PEOPLE)
        return list_users(self.services.pool, caller, query)


class UnitItem(PropertyPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("manager", "Show a unit")}

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str, unit_id: str) -> None:
        row, pool = self.visible(req, property_id), self.services.pool
        unit = get_unit(pool, property_id, unit_id)
        if unit is None:
            raise NotFound("unit")
        query = TicketQuery(property_id=(property_id,), unit_id=(unit_id,), limit=PER_PAGE)
        tickets = self.tickets(req.context.caller, query)
        self.show(
            req,
            resp,
            "unit.html",
            property=row.detail,
            unit=unit,
            tickets=tickets,
            active=count_active_tickets(pool, property_id, [unit_id]).get(unit_id, 0),
            openable=openable_names(pool, req.context.caller, tickets.items),
            requesters=list({one.requester.id: one.requester for one in tickets.items}.values()),
            events=events_of_unit(self.services, property_id, unit_id),
        )


class PropertyItem(PropertyPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Show a property"),
        "POST": page_of("manager", "Change a property"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        self.show_property(req, resp, self.visible(req, property_id))

    def on_post(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        row, form = self.visible(req, property_id), req.context.form

        def read() -> Edit:
            return read_edit(self.services.store, Property, property_id, form, place_values)

        def change(edit: Edit) -> Property:
            values = SentValues(_fields(edit.values), PropertyChanges)
            expected = frozenset((edit.version,))
            return change_property(self.services.store, property_id, values, self.command(req), expected)

        try:
            managed = self.save(req, Property, property_id, read, change)
        except REFUSALS as refusal:
            again = refused_edit(read(), form, _flatten(refusal))
            self.show_property(req, resp, row, status=status_of(refusal), place=again)
            return
        self.go(resp, f"/admin/properties/{property_id}", "property-saved", after=managed)


class UnitAddition(PropertyPage):
    """Adds the units of a list, one on each line. The answer shows what has become of the lines, and the form
    with those that were refused."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("manager", "Add units", form_page="/admin/properties/{property_id}")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        row = self.visible(req, property_id)
        names = req.context.form.value("unit_names").splitlines()
        lines = [Line(name.strip(), SentValues({"name": name}, ListedUnit)) for name in names if name.strip()]
        try:
            listed = add_units(self.services.store, property_id, lines, self.command(req))
        except REFUSALS as refusal:
            if isinstance(refusal, Invalid):
                refusal = Invalid({"unit_names": refusal.details["lines"]})
            again = refused_form(NEW_UNITS, req.context.form, refusal)
            self.show_property(req, resp, row, status=status_of(refusal), adding=again)
            return
        if (listed.added, len(lines)) == (1, 1):
            self.go(resp, f"/admin/properties/{property_id}", "unit-added", after=listed.managed)
            return
        self._show_outcome(req, resp, listed)

    def _show_outcome(self, req: falcon.Request, resp: falcon.Response, listed: UnitsOfList) -> None:
        """Show the property once the read tables contain the units, or say that they may lack them."""
        property_id, position = listed.managed.id, listed.managed.position
        if not self.services.visibility.wait_for(position):
            flash.set_pending(resp, self.services, position)
            req.context.may_lag = True
        self.show_property(
            req,
            resp,
            self.visible(req, property_id),
            status=422 if listed.refused else 200,
            adding=_form_of_refused(listed),
            listed=listed,
        )


def _form_of_refused(listed: UnitsOfList) -> ShownForm:
    """The form with the refused lines."""
    if not listed.refused:
        return ShownForm(NEW_UNITS)
    number = len(listed.refused)
    message = f"{'This line was' if number == 1 else f'These {number:,} lines were'} refused."
    text = "\n".join(line.text for line in listed.refused)
    return ShownForm({"unit_names": text}, errors={"unit_names": [message]})


def place_values(managed: Property) -> Values:
    """The values of the form with a property's name and address."""
    return {**NEW_PROPERTY, "name": managed.name, **(asdict(managed.address) if managed.address else {})}


def _fields(values: Values) -> dict[str, Any]:
    return {"name": values["name"], "address": {line: values[line] for line in _ADDRESS}}


def _flatten(refusal: DomainError) -> DomainError:
    """The refusal with the names of the form's fields: `street` instead of `address.street`."""
    if not isinstance(refusal, Invalid):
        return refusal
    details: Details = {name.removeprefix("address."): text for name, text in refusal.details.items()}
    return Invalid(details)
