"""/v1/tickets: translate HTTP to commands and queries, and back. No rules live here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import falcon
import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from api.http.bodies import read_object, respond, right_fields, validate
from api.http.etags import etag, expected_versions, is_not_modified
from api.http.moments import moment_of
from api.http.paging import PageQuery, read_cursor, respond_with_page
from api.http.queries import narrowed, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.past_tickets import AS_OF, MomentQuery, past_row
from api.v1.shapes import known_names, ticket_summary
from api.v1.ticket_rows import shown_to, visible_row
from commands.ticket_opening import OpenTicket, open_ticket, opening_problems
from commands.tickets import (
    ChangeTicket,
    DeleteTicket,
    RestoreTicket,
    change_problems,
    change_ticket,
    delete_ticket,
    restore_ticket,
    visible_ticket,
)
from domain.access import Caller
from domain.errors import Details, Invalid
from domain.text import Category, Description, SearchText, Title
from domain.ticket import Priority, Status, Ticket, require_may_change
from projections.ticket_query import Order, Sort
from projections.tickets import Names, TicketQuery, list_tickets, names_of
from projections.views import TicketDetail, TicketSummary

_PLACES = frozenset(("property_id", "unit_id", "assigned_to"))  # what only the log can tell of


class NewTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST takes. `requester_id` is for managers and admins; otherwise it is the caller."""

    title: Title
    description: Description = ""
    priority: Priority = "medium"
    category: Category = "general"
    property_id: str
    unit_id: str | None = None
    requester_id: str | UnsetType = UNSET


class TicketChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What PATCH takes: absent leaves as it is, null clears."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    assigned_to: str | UnsetType | None = UNSET
    unit_id: str | UnsetType | None = UNSET
    property_id: str | UnsetType = UNSET


class TicketListQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a list is filtered and ordered. Filters combine with AND; lists are separated by commas."""

    status: tuple[Status, ...] = ()
    priority: tuple[Priority, ...] = ()
    assigned_to: str | None = None
    property_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    q: SearchText | None = None
    as_of: AS_OF = None
    sort: Sort = "created_at"
    order: Order = "desc"
    cursor: str | None = None


class Tickets(Resource):
    """The tickets within the caller's sight."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List tickets",
            description="Lists in filters are separated by commas. `assigned_to=none` finds the unassigned;"
            " `q` searches title, description and visible comments. Start with an empty `cursor=` to follow"
            " `links.next` through a list of any length. With `as_of` the list is the one of that moment:"
            " filters and order apply to what the tickets were then, under the names of today.",
            roles="all; guests see the tickets they requested, others those of their properties",
            scope="tickets:read",
            query=TicketListQuery,
            answer=TicketSummary,
            answer_example=[examples.TICKET],
            is_list=True,
        ),
        "POST": Operation(
            summary="Open a ticket",
            description="`requester_id` is for managers and admins; otherwise the caller is the requester.",
            roles="all, for properties within reach",
            scope="tickets:write",
            body=NewTicket,
            body_example=examples.NEW_TICKET,
            answer=TicketSummary,
            answer_example=examples.OPENED_TICKET,
            has_etag=True,
            status=201,
            errors=("forbidden",),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_query(req, TicketListQuery)
        page = list_tickets(self.services.pool, req.context.caller, self._ticket_query(query))
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_object(req)
        context = req.context.command()
        if "requester_id" in body and body["requester_id"] != context.caller.principal_id:
            context.caller.require("manager", "open a ticket for someone else")
        try:
            new = validate(body, NewTicket)
        except Invalid as refusal:
            raise refusal.beside(self._place_problems(body, refusal, context.caller)) from None
        ticket = open_ticket(self.services.store, command_of(new), context)
        resp.location = f"{self.services.settings.base_url}/v1/tickets/{ticket.id}"
        names = known_names(self.services.store, context.caller, ticket)
        respond_with_ticket(resp, self.services, ticket, names, status=201)

    def _place_problems(self, body: dict[str, Any], refusal: Invalid, caller: Caller) -> Details:
        """What only the log can tell is wrong, so that a client hears of every bad field at once."""
        named = right_fields(body, refusal)
        places = named.get("property_id", ""), named.get("unit_id"), named.get("requester_id")
        return opening_problems(self.services.store, caller, *places)

    def _ticket_query(self, query: TicketListQuery) -> TicketQuery:
        return narrowed(
            query,
            TicketQuery,
            as_of=None if query.as_of is None else moment_of(query.as_of),
            after=read_cursor(query, self.services.signing_key),
            count=query.cursor is None,
        )


class TicketItem(Resource):
    """One ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a ticket with its comments and attachments",
            description="As it is or, with `as_of` or `version`, as it was, for those who see it now or would"
            " have seen it then. The past of a ticket that is deleted now asks for the scope `audit:read` and"
            " staff or above. Names are those of today. 404 before it was opened, while it was deleted, and"
            " for a version it has not reached.",
            roles="all who see it; guests see no internal comments",
            scope="tickets:read",
            query=MomentQuery,
            answer=TicketDetail,
            answer_example=examples.TICKET_DETAIL,
            has_etag=True,
            answers_not_modified=True,
        ),
        "PATCH": Operation(
            summary="Change a ticket",
            description="Absent fields stay as they are, `null` clears `assigned_to` and `unit_id`. Any"
            " status may follow any other. What changes nothing is answered with 200 and makes no version.",
            roles="staff and above; moving to another property: manager and above; guests close and reopen",
            scope="tickets:write",
            body=TicketChanges,
            body_example=examples.TICKET_CHANGES,
            answer=TicketSummary,
            answer_example=examples.CHANGED_TICKET,
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
        "DELETE": Operation(
            summary="Delete a ticket",
            description="It is gone from every list; its history stays, and an admin can restore it.",
            roles="manager and above",
            scope="tickets:write",
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        caller = req.context.caller
        try:
            query = read_query(req, MomentQuery)
        except Invalid:  # 404 comes before 422
            visible_row(self.services, caller, ticket_id)
            raise
        if query.as_of is not None or query.version is not None:
            row = past_row(self.services, caller, ticket_id, query)
        else:
            row = visible_row(self.services, caller, ticket_id)
        resp.etag = etag(row.version)
        if row.stands_for_its_version and is_not_modified(req, row.version):
            resp.status = falcon.HTTP_304
            return
        respond(resp, shown_to(caller, row, self.services))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        body = read_object(req)
        expected = expected_versions(req)
        context = req.context.command()
        try:
            changes = validate(body, TicketChanges)
        except Invalid as refusal:  # 404, 403 and 412 come before 422
            ticket = visible_ticket(self.services.store, context.caller, ticket_id)
            require_may_change(context.caller, body)
            ticket.require_version(expected)
            named = right_fields(body, refusal)
            rest = ChangeTicket(ticket_id=ticket_id, **{name: named[name] for name in _PLACES & named.keys()})
            more = change_problems(self.services.store, rest, ticket, context.caller)
            raise refusal.beside(more) from None
        command = ChangeTicket(ticket_id=ticket_id, expected_versions=expected, **asdict(changes))
        respond_with_ticket(resp, self.services, change_ticket(self.services.store, command, context))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        command = DeleteTicket(ticket_id=ticket_id, expected_versions=expected_versions(req))
        ticket = delete_ticket(self.services.store, command, req.context.command())
        self.services.visibility.wait_for(ticket.position)
        respond(resp, None)


class TicketRestoration(Resource):
    """Bringing a deleted ticket back."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Restore a deleted ticket",
            description="A ticket that is not deleted stays as it is. A body is not looked at.",
            roles="admin",
            scope="tickets:write",
            answer=TicketSummary,
            answer_example=examples.TICKET,
            has_etag=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        command = RestoreTicket(ticket_id=ticket_id)
        ticket = restore_ticket(self.services.store, command, req.context.command())
        respond_with_ticket(resp, self.services, ticket)


def command_of(new: NewTicket) -> OpenTicket:
    """The body as a command; without a requester it is the caller's own ticket."""
    requester_id = None if new.requester_id is UNSET else new.requester_id
    return narrowed(new, OpenTicket, requester_id=requester_id)


def respond_with_ticket(
    resp: falcon.Response,
    services: Services,
    ticket: Ticket,
    names: Names | None = None,
    *,
    status: int = 200,
) -> None:
    """Answer with the ticket as the command left it, once every reader can see it."""
    services.visibility.wait_for(ticket.position)
    names = names or names_of(
        services.pool,
        property_id=ticket.property_id,
        unit_id=ticket.unit_id,
        requester_id=ticket.requester_id,
        assignee_id=ticket.assignee_id,
    )
    resp.etag = etag(ticket.version)
    respond(resp, ticket_summary(ticket, names), status=status)
