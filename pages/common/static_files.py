"""/web: the style sheet, the script and the icon of the pages."""

from __future__ import annotations

import gzip
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, NamedTuple

import falcon

from api.http.openapi import answer_cached
from api.http.resource import Operation, Resource

STYLE_PATH, SCRIPT_PATH, ICON_PATH = "/web/site.css", "/web/site.js", "/web/icon.svg"
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:\s*,|\s*$))", re.IGNORECASE)
_STATIC = Path(__file__).parent / "static"


class StaticFile(Resource):
    """Serves one or several files, joined, as one; compressed for browsers that accept it.

    A subclass sets `pattern`, the names of the files relative to `folder`, and its media type in
    `operations`.
    """

    folder: ClassVar[Path] = _STATIC
    pattern: ClassVar[str]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = self.operations["GET"].media_type
        answer_compressed(req, resp, _load(self.folder, self.pattern))


class Content(NamedTuple):
    """Bytes to serve, the same bytes compressed, and their entity tag."""

    data: bytes
    compressed: bytes
    etag: str

    @classmethod
    def of(cls, data: bytes) -> Content:
        return cls(data, gzip.compress(data, mtime=0), f'"{sha256(data).hexdigest()[:32]}"')


def answer_compressed(req: falcon.Request, resp: falcon.Response, content: Content) -> None:
    """Answer with the content, compressed if the browser accepts that, or with 304 if its copy is current."""
    data, etag = content.data, content.etag
    resp.append_header("Vary", "Accept-Encoding")
    if _accepts_gzip(req):
        data, etag = content.compressed, f'{etag[:-1]}-gzip"'
        resp.set_header("Content-Encoding", "gzip")
    answer_cached(req, resp, data, etag)


class Style(StaticFile):
    """Serves the style sheet of all pages."""

    pattern = "site.css"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The style sheet of the pages", public=True, media_type="text/css; charset=utf-8"
        )
    }


class Script(StaticFile):
    """Serves the script of all pages: htmx, and our files in the order of their names."""

    pattern = "scripts/*.js"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The script of the pages", public=True, media_type="text/javascript; charset=utf-8"
        )
    }


class Icon(StaticFile):
    """Serves the icon that browsers show beside the title of a page."""

    pattern = "icon.svg"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="The icon of the pages", public=True, media_type="image/svg+xml")
    }


@cache
def _load(folder: Path, pattern: str) -> Content:
    """The content of the files, in the order of their names."""
    return Content.of(b"\n".join(path.read_bytes() for path in sorted(folder.glob(pattern))))


def _accepts_gzip(req: falcon.Request) -> bool:
    return _GZIP.search(req.get_header("Accept-Encoding") or "") is not None
