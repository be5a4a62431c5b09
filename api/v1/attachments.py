"""/v1/tickets/{id}/attachments, and downloads by signed address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http import file_urls
from api.http.bodies import respond
from api.http.errors import Refused
from api.http.etags import expected_versions, is_not_modified
from api.http.file_names import disposition_of
from api.http.pending_changes import wait_until_shown
from api.http.problems import required_message, unknown_message
from api.http.queries import NoQuery, read_query
from api.http.resource import MULTIPART, Operation, Resource
from api.http.services import Services
from api.http.uploads import Parts, Upload, read_parts, store_upload
from api.v1 import examples
from api.v1.ticket_rows import visible_row
from commands.comments import remove_file
from commands.removed_files import delete_removed_files
from commands.tickets import attach_file, visible_ticket
from domain.attachment import Attachment
from domain.errors import Details, Invalid
from domain.times import whole_seconds
from infrastructure.storage.attachment_store import ATTACHMENT_BYTES, NoSuchFile
from projections.rows import AttachmentRow
from projections.tickets import get_attachment, list_attachments
from projections.views import AttachmentView

FORM_BYTES = ATTACHMENT_BYTES + 65_536  # a file of the largest size, and the rest of the form


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
        files = list_attachments(self.services.read_pool, ticket_id)
        respond(resp, [self._view(file, file.created_at) for file in files])

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        parts = read_parts(req, "file", FORM_BYTES)
        context = req.context.command()
        ticket = visible_ticket(self.services.store, context.caller, ticket_id)
        upload = _only_file(parts)
        if not context.is_retry:
            ticket.require_room_for_files()
        attachment = store_upload(self.services.attachments, context.command_id, upload, context.at)
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


def _only_file(parts: Parts) -> Upload:
    """The part named `file`. Raises Invalid unless it is the only part and has a filename. It is checked only
    now, because 404 comes before 422."""
    details: Details = {name: [unknown_message(name, "field")] for name, _ in parts.fields}
    if not parts.files:
        details = {"file": [required_message("file", "field")], **details}
    elif len(parts.files) > 1:
        details["file"] = ["The file field is given more than once."]
    elif not parts.files[0].filename:
        details = {"file": ["The file field must have a filename."], **details}
    if details:
        raise Invalid(details)
    return parts.files[0]


def _file_not_found() -> Refused:
    return Refused(
        "not_found",
        "There is no file at this address, or it has expired. Read the ticket again for a new address.",
    )
