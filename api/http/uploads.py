"""Files in bodies of the type multipart/form-data (RFC 7578)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from datetime import datetime
from typing import Any, BinaryIO, cast

import falcon
import msgspec
from falcon.errors import DelimiterError
from falcon.media import MultipartFormHandler
from falcon.media.multipart import BodyPart

from api.http.bodies import MEMORY_BYTES, read_file, require_plain
from api.http.errors import Refused
from api.http.file_names import clean_file_name
from api.http.resource import MULTIPART
from domain.attachment import Attachment
from infrastructure.storage.attachment_store import (
    ATTACHMENT_BYTES,
    AttachmentStore,
    TooLarge,
    disk_errors,
)

MAX_TEXT_BYTES = 65_536  # of each field that is not a file
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.ASCII)
_UNKNOWN_TYPE = "application/octet-stream"


class Upload(msgspec.Struct, frozen=True):
    """A part of the body that is a file, or that a client sent without a filename: then it is empty."""

    filename: str
    content_type: str
    stream: BinaryIO


class Parts:
    """The parts of a body: the files of the field `file_field`, and the names and values of all others, each
    of at most `max_text_bytes`."""

    def __init__(self, file_field: str, max_text_bytes: int) -> None:
        self._file_field = file_field
        self._max_text_bytes = max_text_bytes
        self.files: list[Upload] = []
        self.fields: list[tuple[str, str]] = []

    def take(self, part: BodyPart) -> None:
        """Copy the part, because its stream ends when the next part is read."""
        if part.name == self._file_field:
            file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - `put` reads it
            copy = cast(BinaryIO, file)
            with disk_errors():
                shutil.copyfileobj(part.stream, copy)
                copy.seek(0)
            name = clean_file_name(part.filename or "")
            self.files.append(Upload(name, _media_type(part.content_type), copy))
        else:
            text = part.stream.read(self._max_text_bytes + 1)
            if len(text) > self._max_text_bytes:
                message = f"A field of the form may not be larger than {self._max_text_bytes:,} bytes."
                raise Refused("payload_too_large", message)
            self.fields.append(((part.name or "")[:64], text.decode(errors="replace")))


def is_multipart(req: falcon.Request) -> bool:
    return (req.content_type or "").partition(";")[0].strip().lower() == MULTIPART


def read_parts(
    req: falcon.Request, file_field: str, max_bytes: int, *, max_text_bytes: int = MAX_TEXT_BYTES
) -> Parts:
    """The body, read completely. Raises Refused with 415, 413 or 400 if it cannot be read."""
    if not is_multipart(req):
        message = f"Send the file as {MULTIPART}, in a part named {file_field}."
        raise Refused("unsupported_media_type", message)
    require_plain(req)
    body: Any = read_file(req, max_bytes)
    length = body.seek(0, os.SEEK_END)
    body.seek(0)
    parts = Parts(file_field, max_text_bytes)
    try:
        for part in MultipartFormHandler().deserialize(body, req.content_type or "", length):
            parts.take(part)
    except (UnicodeDecodeError, DelimiterError):
        raise Refused("bad_request", "The form is incomplete, or its headers are not UTF-8.") from None
    return parts


def store_upload(store: AttachmentStore, attachment_id: str, upload: Upload, at: datetime) -> Attachment:
    """Store the file before its event. Raises Refused with 413.

    A crash in between leaves a file without an event; a retry writes the file again under the same id.
    """
    try:
        stored = store.put(attachment_id, upload.stream)
    except TooLarge:
        message = f"The file may not be larger than {ATTACHMENT_BYTES:,} bytes."
        raise Refused("payload_too_large", message) from None
    return Attachment(
        attachment_id, upload.filename, upload.content_type, stored.size_bytes, stored.sha256, at
    )


def _media_type(given: str) -> str:
    media_type = given.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else _UNKNOWN_TYPE
