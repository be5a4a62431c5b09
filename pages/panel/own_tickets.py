"""/admin/my: the pages of tenants: report a problem, follow it, answer, close and reopen it."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import falcon
from msgspec.structs import replace

from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.several import Command, run_all
from commands.ticket_opening import open_ticket
from commands.tickets import (
    NewTicket,
    visible_ticket,
)
from domain.access import Caller, Context
from domain.errors import DomainError, Invalid
from domain.ticket import Status, Ticket
from domain.ticket_rights import allowed_statuses
from infrastructure.storage.event_store import EventStore
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm
from pages.common.shown_form import Values as FormValues
from pages.panel.news import news_address
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    page_of,
    pages_of,
    read_filters,
    refused_form,
    status_of,
)
from pages.panel.sent_files import FILE_FIELD, FORM_BYTES, attach_each, read_files
from pages.panel.ticket_actions import run_steps
from pages.panel.timeline import public_timeline
from projections.choices import property_choices, unit_choices
from projections.ticket_filters import TicketQuery
from projections.tickets import FoundTicket, list_tickets

PATH = "/admin/my"
REPORT: FormValues = {"title": "", "description": "", "place": "", FILE_FIELD: ""}
ANSWER: FormValues = {"text": "", FILE_FIELD: ""}
MOST_PROPERTIES = 20  # whose units are offered; tenants have one or two
NO_PLACE = "Choose where the problem is."
NOTHING_SENT = "Write something, or choose a photo."
ACTIONS: dict[str, Status] = {"close": "closed", "reopen": "open"}


def _page_with_files(summary: str, form_page: str = "") -> PageOperation:
    operation = page_of("guest", summary, form_page=form_page)
    return replace(operation, file_field=FILE_FIELD, max_body_bytes=FORM_BYTES)


class OwnTickets(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("guest", "List one's own tickets")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, filters = req.context.caller, read_filters(req, ListQuery)
        query = TicketQuery(
            requester_id=(caller.principal_id,), limit=filters.limit, offset=filters.offset, sort="updated_at"
        )
        page = list_tickets(self.services.pool, caller, query)
        pages = pages_of(req, filters, page.total)
        self.show(req, resp, "own_tickets.html", tickets=page.items, pages=pages)


class Report(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("guest", "Write a report of a problem"),
        "POST": _page_with_files("Report a problem"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        places = self._places(req.context.caller)
        form = ShownForm({**REPORT, "place": places[0][0] if len(places) == 1 else ""})
        self.show(req, resp, "own_ticket_new.html", form=form, places=places)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        places = self._places(req.context.caller)
        try:
            ticket = self._open(req, dict(places))
        except REFUSALS as refusal:
            self.show_refused(req, resp, "own_ticket_new.html", REPORT, refusal, places=places)
            return
        self.go(resp, f"{PATH}/{ticket.id}", "problem-reported", after=ticket)

    def _open(self, req: falcon.Request, places: dict[str, str]) -> Ticket:
        uploads, form = read_files(req), req.context.form
        place = form.value("place")
        if place not in places:
            raise Invalid({"place": [NO_PLACE]})
        property_id, _, unit_id = place.partition("/")
        given = {"title": form.text("title"), "description": form.prose("description")}
        given |= {"property_id": property_id, "unit_id": unit_id or None}
        context = self.command(req)
        contexts = [req.context.command(item) for item in range(len(uploads))]
        commands: list[Command] = [partial(_open, given, context)]
        SentValues(given, NewTicket).read(lambda _: {})  # before a file is stored
        commands += attach_each(self.services.attachments, context.command_id, uploads, contexts)
        return run_all(self.services.store, commands)

    def _places(self, caller: Caller) -> list[tuple[str, str]]:
        """The places that the caller may name, as (value, label): each property as a whole, and its units."""
        found = []
        for place in property_choices(self.services.pool, caller).items[:MOST_PROPERTIES]:
            found.append((f"{place.id}/", f"{place.name}: the whole property"))
            for unit in unit_choices(self.services.pool, place.id).items:
                found.append((f"{place.id}/{unit.id}", f"{place.name}, {unit.name}"))
        return found


class OwnTicket(PanelPage):
    """Shows only what the requester may see, to everyone."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("guest", "Read one's own ticket"),
        "POST": _page_with_files("Answer, close or reopen one's own ticket"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        self._show(req, resp, visible_row(self.services, req.context.caller, ticket_id), ShownForm(ANSWER))

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        try:
            ticket = self._answer(req, ticket_id)
        except REFUSALS as refusal:
            row = visible_row(self.services, req.context.caller, ticket_id)
            self._show(req, resp, row, refused_form(ANSWER, req.context.form, refusal), refusal)
            return
        self.go(resp, f"{PATH}/{ticket_id}", "answer-sent", after=ticket)

    def _answer(self, req: falcon.Request, ticket_id: str) -> Ticket:
        """Close or reopen the ticket, comment and attach files: what the form has, in one commit."""
        uploads, form = read_files(req), req.context.form
        ticket = visible_ticket(self.services.store, req.context.caller, ticket_id)
        self.command(req)
        status = ACTIONS.get(form.value("action"))
        changes = {"status": status} if status else {}
        comment = {"text": form.prose("text")} if form.text("text") else None
        if not (changes or comment or uploads):
            raise Invalid({"text": [NOTHING_SENT]})
        return run_steps(self.services, req, ticket, changes=changes, comment=comment, uploads=uploads)

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: FoundTicket,
        form: ShownForm,
        refusal: DomainError | None = None,
    ) -> None:
        news = news_address(row, req.context.caller)
        for attachment in row.detail.attachments:
            attachment.url = self.services.file_url(attachment.id)
        self.show(
            req,
            resp,
            "own_ticket.html",
            status=200 if refusal is None else status_of(refusal),
            ticket=row.detail,
            entries=public_timeline(
                self.services, self.services.store.load(Ticket, row.detail.id), row.detail
            ),
            may_close="closed" in allowed_statuses(req.context.caller, row.detail.status),
            form=form,
            news=news,
        )


def _open(given: dict[str, Any], context: Context, store: EventStore) -> Ticket:
    return open_ticket(store, SentValues(given, NewTicket), context)
