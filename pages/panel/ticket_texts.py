"""/admin/tickets/{id}/edit: the title, description, category, tags, place and requester of a ticket."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

from api.http.forms import Form
from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.tickets import TicketEdit, change_ticket
from domain.errors import Details
from domain.ticket import Ticket
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, sent_values
from pages.common.shown_form import Values as FormValues
from pages.panel.choosing import chosen_person, chosen_property, chosen_unit
from pages.panel.editing import Edit, read_edit, refused_edit, version_of
from pages.panel.page import REFUSALS, PanelPage, page_of, status_of
from projections.choices import Choices, property_choices, requester_choices, unit_choices
from projections.tickets import FoundTicket


class TicketTexts(PanelPage):
    """The form offers the units of the chosen property; a button of the form loads them.

    It offers other properties and requesters to managers, who alone may change these.
    """

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Write new texts of a ticket, or choose its place and requester"),
        "POST": page_of("staff", "Change the texts, the place and the requester of a ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id, comments=0)
        ticket = self.services.store.load(Ticket, ticket_id)
        form = ShownForm(values_of(ticket), version=ticket.version)
        self._show(req, resp, row, form, ticket.property_id)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id, comments=0)

        def read() -> Edit:
            return read_edit(self.services.store, Ticket, ticket_id, req.context.form, values_of)

        def change(edit: Edit) -> Ticket:
            return self._change(req, row, edit)

        sent, details = req.context.form, Details()
        chosen = chosen_property(self, req, details) if sent.text("property_id") else row.property_id
        if sent.value("step") == "units" and chosen:
            self._show(req, resp, row, _at_other_property(read(), sent, chosen), chosen)
            return
        try:
            ticket = self.save(req, Ticket, ticket_id, read, change)
        except REFUSALS as refusal:
            names = {row.detail.requester.id: row.detail.requester.name}
            again = refused_edit(read(), sent, refusal, names)
            self._show(req, resp, row, again, chosen or row.property_id, status=status_of(refusal))
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "ticket-saved", after=ticket)

    def _change(self, req: falcon.Request, row: FoundTicket, edit: Edit) -> Ticket:
        details = Details()
        given = _fields(edit.changed)
        if "property_id" in given:
            given["property_id"] = chosen_property(self, req, details) or ""
        if "unit_id" in given:
            property_id = given.get("property_id", row.property_id)
            given["unit_id"] = chosen_unit(self, property_id, given["unit_id"], details)
        if "requester_id" in given:
            given["requester_id"] = chosen_person(self, given["requester_id"])
        values = SentValues(given, TicketEdit, details)
        expected = frozenset((edit.version,))
        return change_ticket(self.services.store, row.detail.id, values, self.command(req), expected)

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: FoundTicket,
        form: ShownForm,
        property_id: str,
        *,
        status: int = 200,
    ) -> None:
        """Show the form with the units of that property."""
        caller, pool = req.context.caller, self.services.pool
        may_name = caller.is_at_least("manager")
        self.show(
            req,
            resp,
            "ticket_edit.html",
            status=status,
            form=form,
            ticket=row.detail,
            properties=property_choices(pool, caller) if may_name else None,
            requesters=_with_present(requester_choices(pool, property_id), row) if may_name else None,
            units=unit_choices(pool, property_id),
        )


def values_of(ticket: Ticket) -> FormValues:
    """The values of the form."""
    return {
        "title": ticket.title,
        "description": ticket.description,
        "category": ticket.category,
        "tags": list(ticket.tags),
        "property_id": ticket.property_id,
        "unit_id": ticket.unit_id or "",
        "requester_id": ticket.requester_id,
    }


def _with_present(choices: Choices, row: FoundTicket) -> Choices:
    """The choices with the present requester, who need not belong to the property."""
    present = row.detail.requester
    return Choices([present, *(one for one in choices.items if one.id != present.id)], choices.is_cut)


def _at_other_property(edit: Edit, sent: Form, property_id: str) -> ShownForm:
    """The form as it was sent, with its version, for the choice of a unit of that property."""
    values = {**sent_values(edit.values, sent), "property_id": property_id, "unit_id": ""}
    return ShownForm(values, version=version_of(sent), command_id=sent.value("command_id"))


def _fields(changed: FormValues) -> dict[str, Any]:
    """The fields of TicketEdit. Browsers end lines with a carriage return and a line feed."""
    return {
        name: value.replace("\r\n", "\n") if isinstance(value, str) else value
        for name, value in changed.items()
    }
