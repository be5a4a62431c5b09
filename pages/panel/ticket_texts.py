"""/admin/tickets/{id}/edit: the title, description, category and tags of a ticket."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.tickets import TicketChanges, change_ticket
from domain.ticket import Ticket
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm
from pages.common.shown_form import Values as FormValues
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.page import REFUSALS, PanelPage, page_of, status_of


class TicketTexts(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Write new texts of a ticket"),
        "POST": page_of("staff", "Change the texts of a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        visible_row(self.services, req.context.caller, ticket_id, comments=0)
        ticket = self.services.store.load(Ticket, ticket_id)
        form = ShownForm(text_values(ticket), version=ticket.version)
        self.show(req, resp, "ticket_edit.html", form=form, ticket_id=ticket_id)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        visible_row(self.services, req.context.caller, ticket_id, comments=0)

        def read() -> Edit:
            return read_edit(self.services.store, Ticket, ticket_id, req.context.form, text_values)

        def change(edit: Edit) -> Ticket:
            values = SentValues(_fields(edit.changed), TicketChanges)
            expected = frozenset((edit.version,))
            return change_ticket(self.services.store, ticket_id, values, self.command(req), expected)

        try:
            ticket = self.save(req, Ticket, ticket_id, read, change)
        except REFUSALS as refusal:
            again = refused_edit(read(), req.context.form, refusal)
            status = status_of(refusal)
            self.show(req, resp, "ticket_edit.html", status=status, form=again, ticket_id=ticket_id)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-saved", after=ticket)


def text_values(ticket: Ticket) -> FormValues:
    """The values of the form."""
    return {
        "title": ticket.title,
        "description": ticket.description,
        "category": ticket.category,
        "tags": list(ticket.tags),
    }


def _fields(changed: FormValues) -> dict[str, Any]:
    """The fields of TicketChanges. Browsers end lines with a carriage return and a line feed."""
    return {
        name: value.replace("\r\n", "\n") if isinstance(value, str) else value
        for name, value in changed.items()
    }
