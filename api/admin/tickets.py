"""/admin/tickets: finding tickets, reading one, working on it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

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
from api.comments import NewComment
from api.resource import Operation
from api.ticket_rows import visible_row
from api.tickets import NewTicket, TicketChanges
from commands.tickets import (
    ChangeTicket,
    CommentOnTicket,
    DeleteTicket,
    OpenTicket,
    RestoreTicket,
    change_ticket,
    comment_on_ticket,
    delete_ticket,
    open_ticket,
    restore_ticket,
)
from domain.errors import DomainError
from domain.text import SearchText
from domain.ticket import PRIORITIES, STATUSES, Priority, Status
from projections.choices import assignee_choices, property_choices
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
        query = TicketQuery(
            status=filters.status,
            priority=filters.priority,
            assigned_to=caller.principal_id if filters.assigned_to == "me" else filters.assigned_to,
            property_id=filters.property_id,
            q=filters.q,
            sort=filters.sort,
            order=filters.order,
            limit=filters.limit,
            offset=filters.offset,
        )
        page = list_tickets(pool, caller, query)
        self.show(
            req,
            resp,
            "tickets.html",
            tickets=page.items,
            pages=pages_of(req, filters, page.total),
            filters=filters,
            properties=property_choices(pool, caller),
            statuses=STATUSES,
            priorities=PRIORITIES,
        )


class TicketOpening(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("staff", "Write a ticket"),
        "POST": page_of("staff", "Open a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        values = filled(priority="medium", category="general", property_id=req.get_param("property_id"))
        self.show(req, resp, "ticket_new.html", values=values, **self._choices(req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.context.form
        names = ("title", "description", "priority", "category", "property_id")
        try:
            new = validate({name: form.prose(name) for name in names}, NewTicket)
            command = OpenTicket(
                title=new.title,
                description=new.description,
                priority=new.priority,
                category=new.category,
                property_id=new.property_id,
            )
            ticket = open_ticket(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_again(req, resp, "ticket_new.html", refusal, **self._choices(req))
            return
        self.services.visibility.wait_for(ticket.position)
        self.go(resp, f"/admin/tickets/{ticket.id}", "ticket-opened")

    def _choices(self, req: falcon.Request) -> dict[str, Any]:
        properties = property_choices(self.services.pool, req.context.caller)
        return {"properties": properties, "priorities": PRIORITIES}


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
        given: dict[str, Any] = {
            "ticket": row.detail,
            "version": row.version,
            "statuses": STATUSES,
            "priorities": PRIORITIES,
            "assignees": self._assignees(req, row),
        }
        if refusal is not None:
            self.show_again(req, resp, "ticket.html", refusal, **given)
            return
        detail = row.detail
        assigned_to = detail.assigned_to.id if detail.assigned_to else ""
        values = filled(
            status=detail.status, priority=detail.priority, assigned_to=assigned_to, visibility="public"
        )
        self.show(req, resp, "ticket.html", values=values, **given)

    def _assignees(self, req: falcon.Request, row: TicketRow) -> list[Any]:
        """Whom it may be given to, and who has it."""
        found = assignee_choices(self.services.pool, req.context.caller, row.property_id)
        present = row.detail.assigned_to
        return found if present is None or present in found else [present, *found]


class Ticket(TicketPage):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": page_of("staff", "Read a ticket"),
        "POST": page_of("staff", "Change a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        self.show_ticket(req, resp, ticket_id)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        form = req.context.form
        given = {
            "status": form.value("status"),
            "priority": form.value("priority"),
            "assigned_to": form.value("assigned_to") or None,
        }
        try:
            changes = validate(given, TicketChanges)
            command = ChangeTicket(
                ticket_id=ticket_id,
                expected_versions=versions_of(req.context.form),
                status=changes.status,
                priority=changes.priority,
                assigned_to=changes.assigned_to,
            )
            ticket = change_ticket(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_ticket(req, resp, ticket_id, refusal)
            return
        self.services.visibility.wait_for(ticket.position)
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-saved")


class TicketComments(TicketPage):
    operations: ClassVar[dict[str, Operation]] = {"POST": page_of("staff", "Comment on a ticket")}

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
        self.services.visibility.wait_for(ticket.position)
        self.go(resp, f"/admin/tickets/{ticket_id}", "comment-added")


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
        self.services.visibility.wait_for(ticket.position)
        self.go(resp, "/admin/tickets", "ticket-deleted")


class TicketRestoring(PanelPage):
    operations: ClassVar[dict[str, Operation]] = {"POST": page_of("admin", "Restore a ticket")}

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = restore_ticket(self.services.store, RestoreTicket(ticket_id=ticket_id), self.command(req))
        self.services.visibility.wait_for(ticket.position)
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-restored")
