"""/admin/tickets: finding tickets, reading one, working on it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

from api.admin.choosing import chosen_property, chosen_unit
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
from api.bodies import validate
from api.comments import NewComment
from api.queries import narrowed
from api.resource import Operation
from api.ticket_rows import visible_row
from api.tickets import NewTicket, TicketChanges, command_of
from api.web.filters import labelled
from api.web.forms import Form
from commands.ticket_opening import OpenTicket, open_ticket
from commands.tickets import (
    ChangeTicket,
    CommentOnTicket,
    DeleteTicket,
    RestoreTicket,
    change_ticket,
    comment_on_ticket,
    delete_ticket,
    restore_ticket,
)
from domain.errors import Details, DomainError
from domain.text import SearchText
from domain.ticket import PRIORITIES, STATUSES, Priority, Status
from projections.choices import (
    Choices,
    assignee_choices,
    find_person,
    find_properties,
    property_choices,
    unit_choices,
)
from projections.ticket_query import Order, Sort
from projections.tickets import TicketQuery, TicketRow, list_tickets


class TicketFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: tuple[Status, ...] = ()
    priority: tuple[Priority, ...] = ()
    assigned_to: str | None = None
    property_id: str | None = None
    q: SearchText | None = None
    sort: Sort = "created_at"
    order: Order = "desc"


class TicketList(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {"GET": page_of("staff", "Find tickets")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        filters = read_filters(req, TicketFilters)
        caller, pool = req.context.caller, self.services.pool
        place = filters.property_id
        query = narrowed(
            filters,
            TicketQuery,
            assigned_to=caller.principal_id if filters.assigned_to == "me" else filters.assigned_to,
            property_id=place and find_properties(pool, caller, [place]).get(place, place),
        )
        page = list_tickets(pool, caller, query)
        self.show(
            req,
            resp,
            "tickets.html",
            tickets=page.items,
            pages=pages_of(req, filters, page.total),
            values=typed_filters(req),
            properties=property_choices(pool, caller),
        )


class TicketOpening(PanelPage):
    """The units to choose from are those of the property chosen before: a button of the form shows them."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("staff", "Write a ticket"),
        "POST": page_of("staff", "Open a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        choices = self._choices(req)
        property_id = req.get_param("property_id") or _only(choices["properties"])
        values = filled(priority="medium", category="general", property_id=property_id)
        units = self._units(req, property_id)
        self.show(req, resp, "ticket_new.html", values=values, units=units, **choices)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, details = req.context.form, Details()
        property_id = chosen_property(self, req, details)
        given = {"units": self._units(req, property_id), **self._choices(req)}
        try:
            if form.value("step") == "units" and not details:
                self.show(req, resp, "ticket_new.html", values=form, **given)
                return
            ticket = open_ticket(
                self.services.store, self._read(form, property_id, details), self.command(req)
            )
        except REFUSALS as refusal:
            self.show_again(req, resp, "ticket_new.html", refusal, **given)
            return
        self.go(resp, f"/admin/tickets/{ticket.id}", "ticket-opened", after=ticket)

    def _read(self, form: Form, property_id: str | None, details: Details) -> OpenTicket:
        """The command the form asks for; Invalid naming each field that is not what it should be."""
        unit_id = property_id and chosen_unit(self, property_id, form.text("unit_id"), details)
        names = ("title", "description", "priority", "category")
        fields = {name: form.prose(name) for name in names}
        given = {**fields, "property_id": property_id or "", "unit_id": unit_id}
        return command_of(checked(given, NewTicket, details))

    def _units(self, req: falcon.Request, property_id: str | None) -> Choices | None:
        """None as long as no property within reach is chosen."""
        if not property_id or not req.context.caller.reaches(property_id):
            return None
        return unit_choices(self.services.pool, property_id)

    def _choices(self, req: falcon.Request) -> dict[str, Any]:
        properties = property_choices(self.services.pool, req.context.caller)
        return {"properties": properties, "priorities": PRIORITIES}


def _only(choices: Choices) -> str | None:
    """The id of the one there is to choose; None where there is a choice."""
    return choices.items[0].id if len(choices.items) == 1 else None


class TicketPage(PanelPage):
    """Base of the pages of one ticket."""

    def show_ticket(
        self, req: falcon.Request, resp: falcon.Response, ticket_id: str, refusal: DomainError | None = None
    ) -> None:
        """The ticket; with what was wrong when a form of it was refused."""
        caller = req.context.caller
        row = visible_row(self.services, caller, ticket_id)
        for attachment in row.detail.attachments:
            attachment.url = self.services.file_url(attachment.id)
        detail = row.detail
        given: dict[str, Any] = {
            "ticket": detail,
            "version": row.version,
            "statuses": STATUSES,
            "priorities": PRIORITIES,
            "assignees": self._assignees(req, row),
            "units": unit_choices(self.services.pool, row.property_id),
        }
        values = filled(
            status=detail.status,
            priority=detail.priority,
            assigned_to=detail.assigned_to.id if detail.assigned_to else "",
            unit_id=detail.unit.id if detail.unit else "",
        )
        if refusal is not None:
            chosen = [one for one in (detail.assigned_to, detail.unit) if one is not None]
            names = dict(labelled((*STATUSES, *PRIORITIES))) | {one.id: one.name for one in chosen}
            self.show_again(req, resp, "ticket.html", refusal, now=values, called=names, **given)
            return
        self.show(req, resp, "ticket.html", values=values, **given)

    def _assignees(self, req: falcon.Request, row: TicketRow) -> Choices:
        """Whom it may be given to, and who has it."""
        found = assignee_choices(self.services.pool, req.context.caller, row.property_id)
        present = row.detail.assigned_to
        if present is not None and present not in found.items:
            found.items.insert(0, present)
        return found


class Ticket(TicketPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("staff", "Read a ticket"),
        "POST": page_of("staff", "Change a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        self.show_ticket(req, resp, ticket_id)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        form, details = req.context.form, Details()
        person = form.text("assigned_to")
        given = {
            "status": form.value("status"),
            "priority": form.value("priority"),
            "assigned_to": (find_person(self.services.pool, person) or person) if person else None,
        }
        if form.values("unit_id"):  # not there where the property has no units
            place = visible_row(self.services, req.context.caller, ticket_id).property_id
            given["unit_id"] = chosen_unit(self, place, form.text("unit_id"), details)
        try:
            changes = checked(given, TicketChanges, details)
            command = ChangeTicket(
                ticket_id=ticket_id,
                expected_versions=versions_of(req.context.form),
                status=changes.status,
                priority=changes.priority,
                assigned_to=changes.assigned_to,
                unit_id=changes.unit_id,
            )
            ticket = change_ticket(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_ticket(req, resp, ticket_id, refusal)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-saved", after=ticket)


class TicketComments(TicketPage):
    operations: ClassVar[dict[str, Operation]] = {
        "POST": page_of("staff", "Comment on a ticket", form_page="/admin/tickets/{ticket_id}")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        form = req.context.form
        given = {"text": form.prose("text"), "visibility": form.value("visibility")}
        try:
            new = validate(given, NewComment)
            command = CommentOnTicket(ticket_id=ticket_id, text=new.text, visibility=new.visibility)
            ticket = comment_on_ticket(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_ticket(req, resp, ticket_id, refusal)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "comment-added", after=ticket)


class TicketDeletion(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("manager", "Ask before a ticket is deleted"),
        "POST": page_of("manager", "Delete a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id)
        self.show(
            req,
            resp,
            "confirm.html",
            title="Delete this ticket?",
            name=row.detail.title,
            consequence="It disappears from every list. Its history stays, and an administrator can bring it"
            " back.",
            action="Delete ticket",
            back=f"/admin/tickets/{ticket_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = delete_ticket(self.services.store, DeleteTicket(ticket_id=ticket_id), self.command(req))
        self.go(resp, "/admin/tickets", "ticket-deleted", after=ticket)


class TicketRestoring(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {
        "POST": page_of("admin", "Restore a ticket", form_page="/admin/tickets/{ticket_id}/history")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = restore_ticket(self.services.store, RestoreTicket(ticket_id=ticket_id), self.command(req))
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-restored", after=ticket)
