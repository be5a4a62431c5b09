"""/v1/properties: properties and their units."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.bodies import read_values, respond
from api.http.etags import etag, expected_versions, respond_if_modified
from api.http.paging import ListQuery, respond_with_page, slice_of
from api.http.pending_changes import wait_until_shown
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.shapes import property_detail, unit_view
from commands.properties import (
    NewProperty,
    NewUnit,
    PropertyChanges,
    UnitChanges,
    add_unit,
    change_property,
    change_unit,
    register_property,
)
from domain.errors import NotFound
from domain.property import Property
from domain.text import ExternalIdFilter
from projections.properties import get_property, list_properties, list_units
from projections.views import PropertyDetail, PropertySummary, UnitView


class PropertyListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest property comes first."""

    external_id: ExternalIdFilter = ()


class UnitListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The units are in the order of their names."""

    external_id: ExternalIdFilter = ()


class Properties(Resource):
    """Lists and registers properties."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List properties",
            description="`active_tickets_count` counts the tickets that are open or in progress.",
            roles="all, for properties within their reach",
            scope="properties:read",
            may_lag=True,
            query=PropertyListQuery,
            answer=PropertySummary,
            answer_example=[examples.PROPERTY],
            is_list=True,
        ),
        "POST": Operation(
            summary="Register a property",
            roles="admin, with a key that is not restricted to properties",
            scope="properties:write",
            may_lag=True,
            body=NewProperty,
            body_example=examples.NEW_PROPERTY,
            answer=PropertyDetail,
            answer_example=examples.PROPERTY_DETAIL,
            has_etag=True,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_query(req, PropertyListQuery)
        part = slice_of(query, self.services.signing_key)
        page = list_properties(self.services.read_pool, req.context.caller, part, query.external_id)
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        values = read_values(req, NewProperty)
        managed = register_property(self.services.store, values, req.context.command())
        resp.location = f"{self.services.settings.base_url}/v1/properties/{managed.id}"
        respond_with_property(req, resp, self.services, managed, status=201)


class PropertyItem(Resource):
    """One property."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a property with its units",
            description="`units` contains at most the first 1,000 units by name. The list of units contains"
            " all.",
            roles="all, for properties within their reach",
            scope="properties:read",
            may_lag=True,
            query=NoQuery,
            answer=PropertyDetail,
            answer_example=examples.PROPERTY_DETAIL,
            has_etag=True,
            answers_not_modified=True,
        ),
        "PATCH": Operation(
            summary="Rename a property or correct its address",
            description="Absent fields stay as they are. The address is replaced as a whole. `external_ids`"
            " changes the given sources only; `null` removes the id of one. An id that another property has"
            " is refused with 409.",
            roles="manager and above",
            scope="properties:write",
            may_lag=True,
            body=PropertyChanges,
            body_example={"name": "Seaside Residences"},
            answer=PropertyDetail,
            answer_example=examples.PROPERTY_DETAIL | {"name": "Seaside Residences"},
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        row = get_property(self.services.read_pool, property_id)
        if row is None or not req.context.caller.reaches(property_id):
            raise NotFound("property")
        read_query(req, NoQuery)
        respond_if_modified(req, resp, row.detail, version=row.version)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        values = read_values(req, PropertyChanges)
        expected, context = expected_versions(req), req.context.command()
        managed = change_property(self.services.store, property_id, values, context, expected)
        respond_with_property(req, resp, self.services, managed)


class Units(Resource):
    """Lists and adds the units of a property."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the units of a property, by name",
            roles="all, for properties within their reach",
            scope="properties:read",
            may_lag=True,
            query=UnitListQuery,
            answer=UnitView,
            answer_example=[examples.UNIT],
            is_list=True,
        ),
        "POST": Operation(
            summary="Add a unit to a property",
            roles="manager and above",
            scope="properties:write",
            may_lag=True,
            body=NewUnit,
            body_example={"name": "Unit 101"},
            answer=UnitView,
            answer_example=examples.UNIT,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        if (
            not req.context.caller.reaches(property_id)
            or get_property(self.services.read_pool, property_id) is None
        ):
            raise NotFound("property")
        query = read_query(req, UnitListQuery)
        part = slice_of(query, self.services.signing_key)
        page = list_units(self.services.read_pool, property_id, part, query.external_id)
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        values = read_values(req, NewUnit)
        context = req.context.command()
        managed = add_unit(self.services.store, property_id, values, context)
        wait_until_shown(req, resp, self.services, managed.position)
        resp.location = f"{self.services.settings.base_url}/v1/properties/{property_id}/units"
        respond(resp, unit_view(managed, context.command_id), status=201)


class UnitItem(Resource):
    """One unit of a property."""

    operations: ClassVar[dict[str, Operation]] = {
        "PATCH": Operation(
            summary="Change the external ids of a unit",
            description="Changes the given sources only; `null` removes the id of one. An id that another"
            " unit has is refused with 409.",
            roles="manager and above",
            scope="properties:write",
            may_lag=True,
            body=UnitChanges,
            body_example={"external_ids": {"sap": "101"}},
            answer=UnitView,
            answer_example=examples.UNIT | {"external_ids": {"sap": "101"}},
            errors=("forbidden", "conflict"),
        ),
    }

    def on_patch(self, req: falcon.Request, resp: falcon.Response, property_id: str, unit_id: str) -> None:
        values = read_values(req, UnitChanges)
        managed = change_unit(self.services.store, property_id, unit_id, values, req.context.command())
        wait_until_shown(req, resp, self.services, managed.position)
        respond(resp, unit_view(managed, unit_id))


def respond_with_property(
    req: falcon.Request, resp: falcon.Response, services: Services, managed: Property, *, status: int = 200
) -> None:
    """Wait until the read tables show the change, and answer with the property."""
    wait_until_shown(req, resp, services, managed.position)
    row = get_property(services.pool, managed.id)
    active_tickets_count = row.detail.active_tickets_count if row else 0
    resp.etag = etag(managed.version)
    respond(resp, property_detail(managed, active_tickets_count=active_tickets_count), status=status)
