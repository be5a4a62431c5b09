"""/admin/tickets/new: the form that opens a ticket, for oneself or, as a manager, for somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import falcon
from msgspec.structs import replace

from api.http.forms import Form
from api.http.sent_values import SentValues
from api.http.uploads import Upload
from commands.several import Command, run_all
from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket
from commands.values import Values
from domain.access import Context
from domain.errors import Details
from domain.ticket import PRIORITIES, Ticket
from infrastructure.storage.event_store import EventStore
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, first_values, or_none, sent_values
from pages.common.shown_form import Values as FormValues
from pages.panel.choosing import chosen_person, chosen_property, chosen_unit
from pages.panel.page import REFUSALS, PanelPage, page_of
from pages.panel.sent_files import FILE_FIELD, FORM_BYTES, attach_each, read_files
from pages.panel.ticket_actions import change_step
from projections.choices import (
    Choices,
    assignee_choices,
    property_choices,
    requester_choices,
    unit_choices,
)

NEW_TICKET = first_values(NewTicket, omitted=("tags", "external_ids"))
FIELDS: FormValues = {**NEW_TICKET, "assigned_to": "", FILE_FIELD: ""}
OF_THE_PROPERTY = ("unit_id", "requester_id", "assigned_to")


class TicketOpening(PanelPage):
    """The form offers the units and people of the chosen property; a button of the form loads them."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Write a ticket"),
        "POST": replace(page_of("staff", "Open a ticket"), file_field=FILE_FIELD, max_body_bytes=FORM_BYTES),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        choices = self._choices(req)
        property_id = req.get_param("property_id") or _only(choices["properties"])
        form = ShownForm({**FIELDS, "property_id": property_id or ""})
        self.show(req, resp, "ticket_new.html", form=form, **choices, **self._offered(req, property_id))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, details = req.context.form, Details()
        property_id = chosen_property(self, req, details)
        given = {**self._offered(req, property_id), **self._choices(req)}
        try:
            if form.value("step") == "units" and not details:
                sent = {**sent_values(FIELDS, form), **dict.fromkeys(OF_THE_PROPERTY, "")}
                self.show(req, resp, "ticket_new.html", form=ShownForm(sent), **given)
                return
            ticket = self._open(req, property_id, details)
        except REFUSALS as refusal:
            self.show_refused(req, resp, "ticket_new.html", FIELDS, refusal, **given)
            return
        self.go(resp, f"/admin/tickets/{ticket.id}", "ticket-opened", after=ticket)

    def _open(self, req: falcon.Request, property_id: str | None, details: Details) -> Ticket:
        """Open the ticket, assign it and attach the photos, in one commit.

        `details` contains the problems found so far.
        """
        uploads: Sequence[Upload] = read_files(req)
        form: Form = req.context.form
        context = self.command(req)
        values = self._read(form, property_id, details)
        values.read(lambda _: {})  # before a file is stored
        commands: list[Command] = [partial(_open, values, context)]
        contexts = [req.context.command(item) for item in range(len(uploads) + 1)]
        if assignee := chosen_person(self, form.text("assigned_to")):
            commands.append(partial(change_step, context.command_id, {"assigned_to": assignee}, contexts[0]))
        commands += attach_each(self.services.attachments, context.command_id, uploads, contexts[1:])
        return run_all(self.services.store, commands)

    def _read(self, form: Form, property_id: str | None, details: Details) -> Values[NewTicket]:
        """The values of the form, without a requester if the field is empty: then it is the caller."""
        given = or_none({name: form.prose(name) for name in NEW_TICKET}, NewTicket)
        given["property_id"] = property_id or ""
        given["unit_id"] = property_id and chosen_unit(self, property_id, form.text("unit_id"), details)
        requester = chosen_person(self, form.text("requester_id"))
        given.pop("requester_id")
        if requester:
            given["requester_id"] = requester
        return SentValues(given, NewTicket, details)

    def _offered(self, req: falcon.Request, property_id: str | None) -> dict[str, Any]:
        """What the form offers of the chosen property: nothing if no property within reach is chosen."""
        caller, pool = req.context.caller, self.services.pool
        if not property_id or not caller.reaches(property_id):
            return {"units": None, "requesters": None, "assignees": None}
        may_name = caller.is_at_least("manager")
        return {
            "units": unit_choices(pool, property_id),
            "requesters": requester_choices(pool, property_id) if may_name else None,
            "assignees": assignee_choices(pool, caller, property_id),
        }

    def _choices(self, req: falcon.Request) -> dict[str, Any]:
        properties = property_choices(self.services.pool, req.context.caller)
        return {"properties": properties, "priorities": PRIORITIES}


def _only(choices: Choices) -> str | None:
    """The id of the only choice; None if there are several or none."""
    return choices.items[0].id if len(choices.items) == 1 else None


def _open(values: Values[NewTicket], context: Context, store: EventStore) -> Ticket:
    return open_ticket(store, values, context)
