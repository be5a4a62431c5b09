"""/admin/tickets: finding tickets, reading one, working on it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
from msgspec.structs import asdict

from api.http.bodies import validate
from api.http.forms import Form
from api.http.queries import narrowed
from api.v1.comments import NewComment
from api.v1.ticket_rows import visible_row
from api.v1.tickets import NewTicket, TicketChanges, command_of
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
from domain.errors import Details
from domain.text import SearchText
from domain.ticket import PRIORITIES, STATUSES, Priority, Status, Ticket
from pages.common.filters import labelled
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel.choosing import chosen_property, chosen_unit
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    checked,
    page_of,
    pages_of,
    read_filters,
    refused_form,
    status_of,
    typed_filters,
)
from projections.choices import (
    Choices,
    assignee_choices,
    find_person,
    find_properties,
    property_choices,
    unit_choices,
)
from projections.ticket_query import Order, Sort
from projections.tickets import FoundTicket, TicketQuery, list_tickets

NEW_TICKET: Values = {
    "title": "",
    "description": "",
    "property_id": "",
    "unit_id": "",
    "priority": "medium",
    "category": "general",
}
NEW_COMMENT: Values = {"text": "", "visibility": "public"}


class TicketFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: tuple[Status, ...] = ()
    priority: tuple[Priority, ...] = ()
    assigned_to: str | None = None
    property_id: str | None = None
    q: SearchText | None = None
    sort: Sort = "created_at"
    order: Order = "desc"


class TicketList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("staff", "Find tickets")}

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
            filters=typed_filters(req, TicketFilters),
            properties=property_choices(pool, caller),
        )


class TicketOpening(PanelPage):
    """The units to choose from are those of the property chosen before: a button of the form shows them."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Write a ticket"),
        "POST": page_of("staff", "Open a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        choices = self._choices(req)
        property_id = req.get_param("property_id") or _only(choices["properties"])
        form = ShownForm({**NEW_TICKET, "property_id": property_id or ""})
        units = self._units(req, property_id)
        self.show(req, resp, "ticket_new.html", form=form, units=units, **choices)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, details = req.context.form, Details()
        property_id = chosen_property(self, req, details)
        given = {"units": self._units(req, property_id), **self._choices(req)}
        try:
            if form.value("step") == "units" and not details:
                values = {**sent_values(NEW_TICKET, form), "unit_id": ""}  # one of the property before
                self.show(req, resp, "ticket_new.html", form=ShownForm(values), **given)
                return
            ticket = open_ticket(
                self.services.store, self._read(form, property_id, details), self.command(req)
            )
        except REFUSALS as refusal:
            again = refused_form(NEW_TICKET, form, refusal)
            self.show(req, resp, "ticket_new.html", status=status_of(refusal), form=again, **given)
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
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: FoundTicket,
        *,
        status: int = 200,
        work: ShownForm | None = None,
        comment: ShownForm | None = None,
    ) -> None:
        """The ticket with its two forms: `work` and `comment` where they were refused, or as they begin."""
        for attachment in row.detail.attachments:
            attachment.url = self.services.file_url(attachment.id)
        if work is None:
            ticket = self.services.store.load(Ticket, row.detail.id)
            work = ShownForm(work_values(ticket), version=ticket.version)
        self.show(
            req,
            resp,
            "ticket.html",
            status=status,
            ticket=row.detail,
            version=row.version,
            statuses=STATUSES,
            priorities=PRIORITIES,
            assignees=self._assignees(req, row),
            units=unit_choices(self.services.pool, row.property_id),
            work=work,
            commenting=comment or ShownForm(NEW_COMMENT),
        )

    def _assignees(self, req: falcon.Request, row: FoundTicket) -> Choices:
        """Whom it may be given to, and who has it."""
        found = assignee_choices(self.services.pool, req.context.caller, row.property_id)
        present = row.detail.assigned_to
        if present is not None and present not in found.items:
            found.items.insert(0, present)
        return found


class TicketItem(TicketPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Read a ticket"),
        "POST": page_of("staff", "Change a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        self.show_ticket(req, resp, visible_row(self.services, req.context.caller, ticket_id))

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id)

        def read() -> Edit:
            form = req.context.form
            return read_edit(self.services.store, Ticket, ticket_id, form, work_values)

        def change(edit: Edit) -> Ticket:
            return self._change(req, row, edit)

        try:
            ticket = self.save(req, Ticket, ticket_id, read, change)
        except REFUSALS as refusal:
            row = visible_row(self.services, req.context.caller, ticket_id)
            chosen = [one for one in (row.detail.assigned_to, row.detail.unit) if one is not None]
            names = dict(labelled((*STATUSES, *PRIORITIES))) | {one.id: one.name for one in chosen}
            again = refused_edit(read(), req.context.form, refusal, names)
            self.show_ticket(req, resp, row, status=status_of(refusal), work=again)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-saved", after=ticket)

    def _change(self, req: falcon.Request, row: FoundTicket, edit: Edit) -> Ticket:
        details: Details = {}
        given: dict[str, Any] = dict(edit.changed)
        if "assigned_to" in given:
            person = given["assigned_to"]
            given["assigned_to"] = (find_person(self.services.pool, person) or person) if person else None
        if "unit_id" in given:
            given["unit_id"] = chosen_unit(self, row.property_id, given["unit_id"], details)
        changes = checked(given, TicketChanges, details)
        expected = frozenset((edit.version,))
        command = ChangeTicket(ticket_id=row.detail.id, expected_versions=expected, **asdict(changes))
        return change_ticket(self.services.store, command, self.command(req))


class TicketComments(TicketPage):
    operations: ClassVar[dict[str, PageOperation]] = {
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
            row = visible_row(self.services, req.context.caller, ticket_id)
            again = refused_form(NEW_COMMENT, form, refusal)
            self.show_ticket(req, resp, row, status=status_of(refusal), comment=again)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "comment-added", after=ticket)


def work_values(ticket: Ticket) -> Values:
    """The values of the form to work on a ticket."""
    return {
        "status": ticket.status,
        "priority": ticket.priority,
        "assigned_to": ticket.assignee_id or "",
        "unit_id": ticket.unit_id or "",
    }


class TicketDeletion(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
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
    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("admin", "Restore a ticket", form_page="/admin/tickets/{ticket_id}/history")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = restore_ticket(self.services.store, RestoreTicket(ticket_id=ticket_id), self.command(req))
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-restored", after=ticket)
