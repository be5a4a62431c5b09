"""/v1/tickets/{id}/attachments, and downloads by signed address."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, ClassVar, cast

import falcon
import msgspec
from falcon.errors import DelimiterError
from falcon.media import MultipartFormHandler
from falcon.media.multipart import BodyPart
from msgspec import Meta

from api.http import file_urls
from api.http.bodies import MEMORY_BYTES, read_file, require_plain, respond
from api.http.errors import Refused
from api.http.etags import expected_versions, is_not_modified
from api.http.file_names import clean_file_name, disposition_of
from api.http.pending_changes import wait_until_shown
from api.http.problems import required_message, unknown_message
from api.http.queries import NoQuery, read_query
from api.http.resource import MULTIPART, Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.ticket_rows import visible_row
from commands.comments import remove_file
from commands.removed_files import delete_removed_files
from commands.tickets import attach_file, visible_ticket
from domain.errors import Details, Invalid
from domain.ticket import Attachment
from domain.times import whole_seconds
from infrastructure.storage.attachment_store import ATTACHMENT_BYTES, NoSuchFile, TooLarge, disk_errors
from projections.rows import AttachmentRow
from projections.tickets import get_attachment, list_attachments
from projections.views import AttachmentView

FORM_BYTES = ATTACHMENT_BYTES + 65_536  # a file of the largest size, and the rest of the form
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.ASCII)
_UNKNOWN_TYPE = "application/octet-stream"


class FileUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one part of the form, at most 25 MB, with its filename."""

    file: Annotated[
        str, Meta(extra_json_schema={"format": "binary", "contentMediaType": "application/octet-stream"})
    ]


class FileAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of a signed address."""

    expires: str
    signature: str


class Attachments(Resource):
    """Lists and adds the files of a ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the files of a ticket, oldest first",
            description="Returns all files: a ticket has at most 20.",
            roles="all who may see the ticket",
            scope="tickets:read",
            may_lag=True,
            query=NoQuery,
            answer=list[AttachmentView],
            answer_example=[examples.ATTACHMENT],
        ),
        "POST": Operation(
            summary="Attach a file to a ticket",
            operation_id="uploadTicketAttachment",
            description="Send a form with one part named `file`, at most 25 MB. A ticket has at most 20"
            " files.",
            roles="all who may see the ticket",
            scope="tickets:write",
            may_lag=True,
            body=FileUpload,
            body_media_type=MULTIPART,
            max_body_bytes=FORM_BYTES,
            answer=AttachmentView,
            answer_example=examples.ATTACHMENT,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        visible_row(self.services, req.context.caller, ticket_id, comments=0)
        read_query(req, NoQuery)
        files = list_attachments(self.services.pool, ticket_id)
        respond(resp, [self._view(file, file.created_at) for file in files])

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        form = _Form(req)
        context = req.context.command()
        ticket = visible_ticket(self.services.store, context.caller, ticket_id)
        upload = form.require_file()
        if not context.is_retry:
            ticket.require_room_for_a_file()
        attachment = self._store(context.command_id, upload, context.at)
        ticket = attach_file(self.services.store, ticket_id, attachment, context)
        wait_until_shown(req, resp, self.services, ticket.position)
        delete_removed_files(self.services.pool, self.services.attachments)
        view = self._view(attachment, whole_seconds(ticket.updated_at))
        resp.location = f"{self.services.settings.base_url}/v1/tickets/{ticket_id}/attachments"
        respond(resp, view, status=201)

    def _view(self, file: Attachment | AttachmentRow, created_at: datetime) -> AttachmentView:
        return AttachmentView(
            id=file.id,
            filename=file.filename,
            url=self.services.file_url(file.id),
            size=file.size_bytes,
            content_type=file.content_type,
            created_at=created_at,
        )

    def _store(self, attachment_id: str, upload: _Upload, at: datetime) -> Attachment:
        """Store the file before its event. A crash in between leaves a file without an event; a retry writes
        the file again under the same id."""
        try:
            stored = self.services.attachments.put(attachment_id, upload.stream)
        except TooLarge:
            message = f"The file may not be larger than {ATTACHMENT_BYTES:,} bytes."
            raise Refused("payload_too_large", message) from None
        return Attachment(
            attachment_id, upload.filename, upload.content_type, stored.size_bytes, stored.sha256, at
        )


class AttachmentItem(Resource):
    """One file of a ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "DELETE": Operation(
            summary="Remove a file from a ticket",
            description="Deletes the content. The name and the SHA-256 stay in the history, for auditors. The"
            " version in `If-Match` is that of the ticket.",
            roles="who attached it, within an hour; manager and above at any time",
            scope="tickets:write",
            may_lag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, ticket_id: str, attachment_id: str
    ) -> None:
        expected = expected_versions(req)
        ticket = remove_file(self.services.store, ticket_id, attachment_id, req.context.command(), expected)
        wait_until_shown(req, resp, self.services, ticket.position)
        delete_removed_files(self.services.pool, self.services.attachments)
        respond(resp, None)


class AttachmentFile(Resource):
    """Serves one file to everyone who has its signed address."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Download a file by its signed address",
            operation_id="downloadAttachment",
            description="The address is part of the ticket and is valid for 15 to 30 minutes. No key is"
            " needed. The answer asks browsers to save the file, not to show it.",
            public=True,
            query=FileAddress,
            media_type="application/octet-stream",
            has_etag=True,
            answers_not_modified=True,
            errors=("not_found", "unavailable"),
        )
    }

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._key = services.signing_key

    def on_get(self, req: falcon.Request, resp: falcon.Response, attachment_id: str) -> None:
        query = read_query(req, FileAddress)
        now = datetime.now(UTC)
        if not file_urls.verify(attachment_id, query.expires, query.signature, self._key, now):
            raise _file_not_found()
        row = get_attachment(self.services.pool, attachment_id)
        if row is None:
            raise _file_not_found()
        tag = f'"{row.sha256}"'
        resp.etag = tag
        if is_not_modified(req, tag):
            resp.status = falcon.HTTP_304
            return
        try:
            file = self.services.attachments.open(attachment_id)
        except NoSuchFile:
            raise _file_not_found() from None
        resp.content_type = row.content_type
        resp.set_header("Content-Disposition", disposition_of(row.filename))
        resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        if req.method == "HEAD":
            file.stream.close()
            resp.content_length = file.size_bytes
        else:
            resp.set_stream(file.stream, file.size_bytes)


class _Upload(msgspec.Struct, frozen=True):
    filename: str
    content_type: str
    stream: BinaryIO


class _Form:
    """A multipart body, read completely. Raises Refused with 415, 413 or 400 if it cannot be read.

    Only `require_file` checks its content, because 404 comes before 422.
    """

    def __init__(self, req: falcon.Request) -> None:
        content_type = req.content_type or ""
        if content_type.partition(";")[0].strip().lower() != MULTIPART:
            message = "Send the file as multipart/form-data, in a part named file."
            raise Refused("unsupported_media_type", message)
        require_plain(req)
        body: Any = read_file(req, FORM_BYTES)
        length = body.seek(0, os.SEEK_END)
        body.seek(0)
        self._upload: _Upload | None = None
        self._details: Details = {}
        try:
            for part in MultipartFormHandler().deserialize(body, content_type, length):
                self._take(part)
        except (UnicodeDecodeError, DelimiterError):
            raise Refused("bad_request", "The form is incomplete, or its headers are not UTF-8.") from None

    def require_file(self) -> _Upload:
        """The part named `file`. Raises Invalid unless it is the only part and has a filename."""
        details = self._details
        if self._upload is None:
            details = {"file": [required_message("file", "field")], **details}
        elif not self._upload.filename:
            details = {"file": ["The file field must have a filename."], **details}
        if details or self._upload is None:
            raise Invalid(details)
        return self._upload

    def _take(self, part: BodyPart) -> None:
        """Copy the part, because its stream ends when the next part is read."""
        if part.name == "file" and self._upload is None:
            file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - `put` reads it
            copy = cast(BinaryIO, file)
            with disk_errors():
                shutil.copyfileobj(part.stream, copy)
                copy.seek(0)
            self._upload = _Upload(clean_file_name(part.filename or ""), _media_type(part.content_type), copy)
        elif part.name == "file":
            self._details["file"] = ["The file field is given more than once."]
        else:
            name = (part.name or "")[:64]
            self._details[name] = [unknown_message(name, "field")]


def _media_type(given: str) -> str:
    media_type = given.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else _UNKNOWN_TYPE


def _file_not_found() -> Refused:
    return Refused(
        "not_found",
        "There is no file at this address, or it has expired. Read the ticket again for a new address.",
    )
