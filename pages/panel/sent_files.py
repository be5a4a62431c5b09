"""The files of a form, and the commands that attach them to a ticket."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial

import falcon

from api.http.forms import MAX_FORM_BYTES, Form
from api.http.uploads import Upload, store_upload
from commands.several import Command
from commands.tickets import attach_file
from domain.access import Context
from domain.attachment import Attachment
from domain.errors import Invalid
from domain.ticket import ATTACHMENTS_PER_TICKET, Ticket
from infrastructure.storage.attachment_store import ATTACHMENT_BYTES, AttachmentStore
from infrastructure.storage.event_store import EventStore

FILE_FIELD = "files"
FORM_BYTES = 4 * ATTACHMENT_BYTES + MAX_FORM_BYTES  # of all files of one form, and its other fields


def read_files(req: falcon.Request, field: str = FILE_FIELD) -> Sequence[Upload]:
    """The files in this field of the form. Raises Invalid if there are too many, or one is too large.

    Call it before the command: other files, sent with the same form after the browser's back button, are
    another command, whose id follows from their digests.
    """
    uploads: Sequence[Upload] = req.context.uploads
    if len(uploads) > ATTACHMENTS_PER_TICKET:
        message = f"A ticket holds at most {ATTACHMENTS_PER_TICKET} files. No file was attached."
        raise Invalid({field: [message]})
    large = [upload.filename for upload in uploads if _size(upload) > ATTACHMENT_BYTES]
    if large:
        messages = [f"{name} is larger than 25 MB. No file was attached." for name in large]
        raise Invalid({field: messages})
    digests = [(field, f"{upload.filename} {_digest(upload)}") for upload in uploads]
    req.context.form = Form([*req.context.form.pairs(), *digests])
    return uploads


def attach_each(
    store: AttachmentStore, ticket_id: str, uploads: Sequence[Upload], contexts: Sequence[Context]
) -> list[Command]:
    """Store the files, and return the commands that attach them to the ticket."""
    return [
        partial(_attach, ticket_id, store_upload(store, context.command_id, upload, context.at), context)
        for upload, context in zip(uploads, contexts, strict=True)
    ]


def _attach(ticket_id: str, file: Attachment, context: Context, store: EventStore) -> Ticket:
    return attach_file(store, ticket_id, file, context)


def _size(upload: Upload) -> int:
    size = upload.stream.seek(0, os.SEEK_END)
    upload.stream.seek(0)
    return size


def _digest(upload: Upload) -> str:
    digest = hashlib.file_digest(upload.stream, "sha256").hexdigest()  # type: ignore[arg-type]
    upload.stream.seek(0)
    return digest
