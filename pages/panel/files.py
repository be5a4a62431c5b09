"""/admin/tickets/{id}/attachments: the forms that attach files to a ticket and remove them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

import falcon
from msgspec.structs import replace

from api.http.forms import Form
from api.http.uploads import Upload, store_upload
from api.v1.ticket_rows import visible_row
from commands.comments import remove_file
from commands.removed_files import delete_removed_files
from commands.several import Command, run_all
from commands.tickets import attach_file, visible_ticket
from domain.access import Context
from domain.attachment import Attachment
from domain.errors import DomainError, Invalid
from domain.ticket import Ticket
from infrastructure.storage.attachment_store import ATTACHMENT_BYTES
from infrastructure.storage.event_store import EventStore
from pages.common.page_operation import PageOperation
from pages.panel.page import REFUSALS, PanelPage, page_of, refused_form, status_of
from pages.panel.tickets import NEW_FILES, TicketPage

FORM_BYTES = 4 * ATTACHMENT_BYTES + 65_536  # of all files of one form
NO_FILE = "Choose a file, or several."


class FileUpload(TicketPage):
    """Attaches the files of a form, all or none of them."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": replace(
            page_of("staff", "Attach files to a ticket", form_page="/admin/tickets/{ticket_id}"),
            keeps_form=False,
            file_field="files",
            max_body_bytes=FORM_BYTES,
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        try:
            attached = self._attach(req, ticket_id, req.context.uploads)
        except REFUSALS as refusal:
            self._show_refused(req, resp, ticket_id, refusal)
            return
        done = "file-added" if len(req.context.uploads) == 1 else "files-added"
        self.go(resp, f"/admin/tickets/{ticket_id}", done, after=attached)
        delete_removed_files(self.services.pool, self.services.attachments)

    def _attach(self, req: falcon.Request, ticket_id: str, uploads: Sequence[Upload]) -> Ticket:
        ticket = visible_ticket(self.services.store, req.context.caller, ticket_id)
        _require_acceptable(uploads)
        # Other files, sent with the same form after the browser's back button, are another command.
        digests = [("files", f"{upload.filename} {_digest(upload)}") for upload in uploads]
        req.context.form = Form([*req.context.form.pairs(), *digests])
        self.command(req)
        contexts = [req.context.command(item) for item in range(len(uploads))]
        if self.services.store.done_before(Ticket, ticket_id, contexts[0]) is None:
            ticket.require_room_for_files(len(uploads))
        files = [
            store_upload(self.services.attachments, context.command_id, upload, context.at)
            for context, upload in zip(contexts, uploads, strict=True)
        ]
        commands: list[Command] = [
            partial(_attach_file, ticket_id, file, context)
            for file, context in zip(files, contexts, strict=True)
        ]
        return run_all(self.services.store, commands)

    def _show_refused(
        self, req: falcon.Request, resp: falcon.Response, ticket_id: str, refusal: DomainError
    ) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id)
        form = refused_form(NEW_FILES, Form([]), refusal)
        self.show_ticket(req, resp, row, status=status_of(refusal), attaching=form)


def _require_acceptable(uploads: Sequence[Upload]) -> None:
    """Raise Invalid without files, or with one that is too large, before any is stored."""
    if not uploads:
        raise Invalid({"files": [NO_FILE]})
    large = [upload.filename for upload in uploads if _size(upload) > ATTACHMENT_BYTES]
    if large:
        raise Invalid({"files": [f"{name} is larger than 25 MB. No file was attached." for name in large]})


def _size(upload: Upload) -> int:
    size = upload.stream.seek(0, os.SEEK_END)
    upload.stream.seek(0)
    return size


def _attach_file(ticket_id: str, file: Attachment, context: Context, store: EventStore) -> Ticket:
    return attach_file(store, ticket_id, file, context)


def _digest(upload: Upload) -> str:
    digest = hashlib.file_digest(upload.stream, "sha256").hexdigest()  # type: ignore[arg-type]
    upload.stream.seek(0)
    return digest


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
