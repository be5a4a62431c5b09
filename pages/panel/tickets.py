"""/admin/tickets/{id}: one ticket, and the forms that change, delete and restore it."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.tickets import (
    TicketChanges,
    change_ticket,
    delete_ticket,
    restore_ticket,
)
from domain.errors import Details
from domain.ticket import PRIORITIES, STATUSES, Ticket
from pages.common.filters import labelled
from pages.common.page_operation import PageOperation
from pages.common.shown_form import or_none
from pages.panel.choosing import chosen_person, chosen_unit
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.page import (
    REFUSALS,
    PanelPage,
    page_of,
    status_of,
)
from pages.panel.ticket_page import TicketPage, work_values
from projections.tickets import FoundTicket


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
        given = or_none(edit.changed, TicketChanges)
        if person := given.get("assigned_to"):
            given["assigned_to"] = chosen_person(self, person)
        if unit := given.get("unit_id"):
            given["unit_id"] = chosen_unit(self, row.property_id, unit, details)
        values = SentValues(given, TicketChanges, details)
        expected = frozenset((edit.version,))
        return change_ticket(self.services.store, row.detail.id, values, self.command(req), expected)


class TicketDeletion(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before a ticket is deleted"),
        "POST": page_of("manager", "Delete a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id)
        self.ask(
            req,
            resp,
            title="Delete this ticket?",
            name=row.detail.title,
            consequence="No list will show it. Its history stays, and an administrator can restore it.",
            action="Delete ticket",
            back=f"/admin/tickets/{ticket_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = delete_ticket(self.services.store, ticket_id, self.command(req))
        self.go(resp, "/admin/tickets", "ticket-deleted", after=ticket, subject_id=ticket_id)


class TicketRestoring(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("admin", "Restore a ticket", form_page="/admin/tickets/{ticket_id}/history")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = restore_ticket(self.services.store, ticket_id, self.command(req))
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-restored", after=ticket)
