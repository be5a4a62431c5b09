"""Small copies of the photos of a ticket, and the page that shows one photo.

A browser never gets the content of a file as a page or an image: the images here are made by the server
(infrastructure/pictures.py), and the file itself is a download (api/v1/attachments.py).
"""

from __future__ import annotations

import shutil
import tempfile
from textwrap import wrap
from typing import IO, Any, ClassVar, cast

import falcon
from msgspec.structs import replace

from api.http.errors import Refused
from api.http.etags import is_not_modified
from api.v1.ticket_rows import visible_row
from commands.tickets import visible_ticket
from domain.attachment import Attachment
from domain.errors import NotFound
from infrastructure.pictures import MEDIA_TYPE, Busy, NotShown, make_copy
from infrastructure.storage.attachment_store import NoSuchFile
from pages.common.filters import photos
from pages.common.page_operation import PageOperation
from pages.panel.page import PanelPage, page_of

MEMORY_BYTES = 1_048_576  # of a file; the rest is in a temporary file
ICON_MEDIA_TYPE = "image/svg+xml"
CACHED = "private, max-age=86400"
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
    ' height="{height}">'
    '<g fill="none" stroke="#788593" stroke-width="6" stroke-linejoin="round" stroke-linecap="round"'
    ' transform="translate({left} {top})">'
    '<path d="M10 5h55l30 30v85H10z"/><path d="M65 5v30h30"/></g>{text}</svg>'
)
_TEXT = (
    '<text x="320" y="{y}" text-anchor="middle" font-family="sans-serif" font-size="20" fill="#788593">{line}'
    "</text>"
)


class _Copy(PanelPage):
    """Base of the two sizes. A subclass sets `side`, the longest side in pixels."""

    side: ClassVar[int]

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, attachment_id: str) -> None:
        file = visible_ticket(self.services.store, req.context.caller, ticket_id).find_file(attachment_id)
        tag = f'"{file.sha256}-{self.side}"'
        if is_not_modified(req, tag):
            resp.status = falcon.HTTP_304
        else:
            resp.content_type, resp.data = self._image(file)
        resp.etag = tag
        resp.set_header("Cache-Control", CACHED)
        resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        resp.set_header("X-Content-Type-Options", "nosniff")

    def icon(self, reason: str) -> bytes:
        """The image for a file that cannot be shown."""
        raise NotImplementedError

    def _image(self, file: Attachment) -> tuple[str, bytes]:
        """The media type and the content of the answer."""
        try:
            return MEDIA_TYPE, self._copy(file)
        except NotShown as reason:
            return ICON_MEDIA_TYPE, self.icon(str(reason))

    def _copy(self, file: Attachment) -> bytes:
        try:
            with self._open(file.id) as stream:
                return make_copy(stream, self.side)
        except NoSuchFile:
            raise NotFound("file") from None
        except Busy:
            raise Refused("unavailable", "Other pictures are made at the moment. Try again.") from None

    def _open(self, attachment_id: str) -> IO[bytes]:
        """The content of the file. A bucket's stream cannot go back, so it is copied."""
        stored = self.services.attachments.open(attachment_id).stream
        if stored.seekable():
            return stored
        file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
        copy = cast(IO[bytes], file)
        try:
            shutil.copyfileobj(stored, copy)
        finally:
            stored.close()
        copy.seek(0)
        return copy


class Thumbnail(_Copy):
    side = 320
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": replace(page_of("guest", "See a photo in a small size"), media_type=MEDIA_TYPE)
    }

    def icon(self, reason: str) -> bytes:
        return _ICON.format(width=320, height=320, left=105, top=95, text="").encode()


class Picture(_Copy):
    side = 1600
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": replace(page_of("guest", "See a photo in the size of a screen"), media_type=MEDIA_TYPE)
    }

    def icon(self, reason: str) -> bytes:
        """With the reason."""
        lines = enumerate(wrap(reason, 56))
        text = "".join(_TEXT.format(y=250 + 30 * number, line=line) for number, line in lines)
        return _ICON.format(width=640, height=360, left=267, top=80, text=text).encode()


class PicturePage(PanelPage):
    """Shows one photo, for browsers that run no script."""

    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("guest", "Look at a photo")}

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, attachment_id: str) -> None:
        row = visible_row(self.services, req.context.caller, ticket_id, comments=0)
        shown = photos(row.detail.attachments)
        places = {file.id: number for number, file in enumerate(shown)}
        place = places.get(attachment_id)
        if place is None:
            raise NotFound("photo")
        given: dict[str, Any] = {
            "file": shown[place],
            "url": self.services.file_url(attachment_id),
            "number": place + 1,
            "count": len(shown),
            "previous": shown[place - 1] if place > 0 else None,
            "next": shown[place + 1] if place + 1 < len(shown) else None,
        }
        section = "my" if req.context.caller.role == "guest" else "tickets"
        back = f"/admin/{section}/{ticket_id}"
        self.show(req, resp, "picture.html", ticket=row.detail, back=back, **given)
