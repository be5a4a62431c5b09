"""/admin/tickets/change: changes several tickets of a list with one form."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import falcon
import msgspec

from api.http.errors import Refused
from api.http.forms import Form
from api.http.sent_values import SentValues
from commands.several import run_commands
from commands.tickets import TicketChanges, change_ticket, visible_ticket
from domain.access import Caller, Context
from domain.errors import DomainError
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from pages.common.page_operation import PageOperation
from pages.common.sessions import local_path
from pages.panel.page import PanelPage, page_of
from pages.panel.ticket_list import SEVERAL

LIST_PATH = "/admin/tickets"
MOST_TICKETS = 100  # the longest page of the list
ME, NOBODY = "me", "none"


class NotChanged(msgspec.Struct, frozen=True):
    """A ticket whose change was refused, with the reasons."""

    ticket_id: str
    reasons: list[str]


class TicketBulk(PanelPage):
    """A refused ticket does not affect the others; the answer names it with the reason."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("staff", "Change several tickets", form_page=LIST_PATH)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form: Form = req.context.form
        back = local_path(form.value("page"))
        if back.partition("?")[0] != LIST_PATH:
            back = LIST_PATH
        ids = _chosen(form)
        if not ids or not any(form.text(name) for name in SEVERAL):
            self.go(resp, back, "nothing-chosen")
            return
        self.command(req)
        commands = [
            partial(_change, ticket_id, form, req.context.command(item)) for item, ticket_id in enumerate(ids)
        ]
        outcomes = run_commands(self.services.store, commands, is_atomic=False)
        refused = [
            NotChanged(ticket_id, _reasons(result))
            for ticket_id, result in zip(ids, outcomes.results, strict=True)
            if isinstance(result, DomainError)
        ]
        if not refused:
            self.go(resp, back, "tickets-changed", after=outcomes.position)
            return
        self.services.visibility.wait_for(outcomes.position)
        self.show(req, resp, "tickets_changed.html", refused=refused, count=len(ids), back=back)


def _chosen(form: Form) -> list[str]:
    """The ids of the ticked tickets; with `all`, those of the whole page."""
    ids = form.lines("shown") if form.value("all") else form.lines("ticket_id")
    if len(ids) > MOST_TICKETS:
        raise Refused("bad_request", f"One form changes at most {MOST_TICKETS} tickets.")
    return ids


def _change(ticket_id: str, form: Form, context: Context, store: EventStore) -> Ticket:
    ticket = visible_ticket(store, context.caller, ticket_id)
    values = SentValues(_wanted(form, ticket, context.caller), TicketChanges)
    return change_ticket(store, ticket_id, values, context)


def _wanted(form: Form, ticket: Ticket, caller: Caller) -> dict[str, Any]:
    """The fields of TicketChanges that the form sets."""
    given = {name: form.text(f"set_{name}") for name in ("status", "priority")}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    if assignee := form.text("set_assigned_to"):
        wanted["assigned_to"] = {ME: caller.principal_id, NOBODY: None}.get(assignee, assignee)
    if tag := form.text("add_tag"):
        wanted["tags"] = list(dict.fromkeys((*ticket.tags, tag)))
    return wanted


def _reasons(refusal: DomainError) -> list[str]:
    details = refusal.details or {}
    return [message for messages in details.values() for message in messages] or [str(refusal)]
