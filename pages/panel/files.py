"""/admin/tickets/{id}/attachments: the forms that attach files to a ticket and remove them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import falcon
from msgspec.structs import replace

from api.http.forms import Form
from api.v1.ticket_rows import visible_row
from commands.comments import remove_file
from commands.removed_files import delete_removed_files
from commands.several import run_all
from commands.tickets import visible_ticket
from domain.errors import DomainError, Invalid
from domain.ticket import Ticket
from pages.common.page_operation import PageOperation
from pages.panel.page import REFUSALS, PanelPage, page_of, refused_form, status_of
from pages.panel.sent_files import FILE_FIELD, FORM_BYTES, attach_each, read_files
from pages.panel.ticket_page import NEW_FILES, TicketPage

NO_FILE = "Choose a file, or several."


class FileUpload(TicketPage):
    """Attaches the files of a form, all or none of them."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": replace(
            page_of("staff", "Attach files to a ticket", form_page="/admin/tickets/{ticket_id}"),
            keeps_form=False,
            file_field=FILE_FIELD,
            max_body_bytes=FORM_BYTES,
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        try:
            attached = self._attach(req, ticket_id)
        except REFUSALS as refusal:
            self._show_refused(req, resp, ticket_id, refusal)
            return
        done = "file-added" if len(req.context.uploads) == 1 else "files-added"
        self.go(resp, f"/admin/tickets/{ticket_id}", done, after=attached)
        delete_removed_files(self.services.pool, self.services.attachments)

    def _attach(self, req: falcon.Request, ticket_id: str) -> Ticket:
        store, uploads = self.services.store, read_files(req)
        ticket = visible_ticket(store, req.context.caller, ticket_id)
        if not uploads:
            raise Invalid({FILE_FIELD: [NO_FILE]})
        self.command(req)
        contexts = [req.context.command(item) for item in range(len(uploads))]
        if store.done_before(Ticket, ticket_id, contexts[0]) is None:
            ticket.require_room_for_files(len(uploads))
        return run_all(store, attach_each(self.services.attachments, ticket_id, uploads, contexts))

    def _show_refused(
        self, req: falcon.Request, resp: falcon.Response, ticket_id: str, refusal: DomainError
    ) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id)
        form = refused_form(NEW_FILES, Form([]), refusal)
        self.show_ticket(req, resp, row, status=status_of(refusal), attaching=form)


class FileRemoval(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Ask before a file is removed"),
        "POST": page_of("staff", "Remove a file"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, attachment_id: str) -> None:
        caller = req.context.caller
        file = visible_ticket(self.services.store, caller, ticket_id).find_file(attachment_id)
        caller.require_may_take_back(file.author_id, file.created_at, datetime.now(UTC), "file")
        self.ask(
            req,
            resp,
            title="Remove this file?",
            name=file.filename,
            consequence="Its content is deleted. Its name stays in the history, for auditors.",
            action="Remove file",
            back=f"/admin/tickets/{ticket_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, attachment_id: str) -> None:
        ticket = remove_file(self.services.store, ticket_id, attachment_id, self.command(req))
        self.go(resp, f"/admin/tickets/{ticket_id}", "file-removed", after=ticket)
        delete_removed_files(self.services.pool, self.services.attachments)
