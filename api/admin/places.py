"""/admin/properties: what is managed, and the units in it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
from msgspec.structs import asdict

from api.admin.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    filled,
    page_of,
    pages_of,
    read_filters,
    versions_of,
)
from api.bodies import validate
from api.properties import NewProperty, NewUnit
from api.resource import Operation
from api.web.forms import Form
from commands.properties import (
    AddUnit,
    ChangeProperty,
    RegisterProperty,
    add_unit,
    change_property,
    register_property,
)
from domain.errors import Details, DomainError, Invalid, NotFound
from domain.property import Address
from projections.properties import PropertyRow, get_property, list_properties, list_units

_ADDRESS = ("street", "city", "state", "zip", "country")


class PropertyList(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {"GET": page_of("manager", "List properties")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_filters(req, ListQuery)
        page = list_properties(self.services.pool, req.context.caller, query.limit, query.offset)
        self.show(req, resp, "properties.html", properties=page.items, pages=pages_of(req, query, page.total))


class PropertyRegistration(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("admin", "Describe a new property"),
        "POST": page_of("admin", "Register a property"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "property_new.html")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            new = validate(_fields(req.context.form), NewProperty)
            context = self.command(req)
            command = RegisterProperty(
                property_id=context.command_id, name=new.name, address=Address(**asdict(new.address))
            )
            property = register_property(self.services.store, command, context)
        except REFUSALS as refusal:
            self.show_again(req, resp, "property_new.html", _flat(refusal))
            return
        self.go(resp, f"/admin/properties/{property.id}", "property-registered", after=property)


class PropertyPage(PanelPage):
    """Base of the pages of one property."""

    def visible(self, req: falcon.Request, property_id: str) -> PropertyRow:
        row = get_property(self.services.pool, property_id)
        if row is None or not req.context.caller.reaches(property_id):
            raise NotFound("property")
        return row

    def show_property(
        self, req: falcon.Request, resp: falcon.Response, row: PropertyRow, refusal: DomainError | None = None
    ) -> None:
        detail = row.detail
        query = read_filters(req, ListQuery)
        units = list_units(self.services.pool, detail.id, query.limit, query.offset)
        given: dict[str, Any] = {
            "property": detail,
            "version": row.version,
            "units": units.items,
            "pages": pages_of(req, query, units.total),
        }
        values = filled(name=detail.name, **asdict(detail.address))
        if refusal is not None:
            self.show_again(req, resp, "property.html", _flat(refusal), now=values, **given)
            return
        self.show(req, resp, "property.html", values=values, **given)


class PropertyItem(PropertyPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("manager", "Read about a property"),
        "POST": page_of("manager", "Change a property"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        self.show_property(req, resp, self.visible(req, property_id))

    def on_post(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        row = self.visible(req, property_id)
        try:
            changes = validate(_fields(req.context.form), NewProperty)
            command = ChangeProperty(
                property_id=property_id,
                expected_versions=versions_of(req.context.form),
                name=changes.name,
                address=Address(**asdict(changes.address)),
            )
            property = change_property(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_property(req, resp, row, refusal)
            return
        self.go(resp, f"/admin/properties/{property_id}", "property-saved", after=property)


class UnitAddition(PropertyPage):
    operations: ClassVar[dict[str, Operation]] = {
        "POST": page_of("manager", "Add a unit", form_page="/admin/properties/{property_id}")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        row = self.visible(req, property_id)
        try:
            new = validate({"name": req.context.form.value("unit_name")}, NewUnit)
            context = self.command(req)
            command = AddUnit(property_id=property_id, unit_id=context.command_id, name=new.name)
            property = add_unit(self.services.store, command, context)
        except REFUSALS as refusal:
            if isinstance(refusal, Invalid):
                refusal = Invalid({"unit_name": refusal.details["name"]})
            self.show_property(req, resp, row, refusal)
            return
        self.go(resp, f"/admin/properties/{property_id}", "unit-added", after=property)


def _fields(form: Form) -> dict[str, Any]:
    return {
        "name": form.value("name"),
        "address": {line: form.value(line) for line in _ADDRESS},
    }


def _flat(refusal: DomainError) -> DomainError:
    """The form has the lines of the address beside the name, not within a field of their own."""
    if not isinstance(refusal, Invalid):
        return refusal
    details: Details = {name.removeprefix("address."): text for name, text in refusal.details.items()}
    return Invalid(details)
