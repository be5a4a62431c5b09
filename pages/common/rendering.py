"""Renders pages, with the headers that every page has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import falcon
import jinja2

from api.http.errors import Failure
from api.http.openapi import answer_cached
from api.http.resource import Operation, Resource
from api.http.services import Services
from pages.common.filters import FILTERS

_HERE = Path(__file__).parent
STYLE_PATH, ICON_PATH = "/web/site.css", "/web/icon.svg"
_TITLES = {
    400: "That did not work",
    403: "Not allowed",
    404: "Not found",
    429: "Too many attempts",
    503: "Temporarily unavailable",
}


def render(
    req: falcon.Request,
    resp: falcon.Response,
    template: str,
    *,
    status: int = 200,
    form_targets: Sequence[str] = (),
    **values: Any,
) -> None:
    """Answer with a page. The template also gets `session`, which is None without a signed-in user.

    `form_targets` are other origins to which an answer to a form of this page may redirect, because browsers
    apply form-action to redirects too.
    """
    values.setdefault("session", getattr(req.context, "session", None))
    resp.status = status
    resp.content_type = falcon.MEDIA_HTML
    resp.data = _environment().get_template(template).render(path=req.path, **values).encode()
    set_headers(resp, form_targets=form_targets)


def set_headers(resp: falcon.Response, *, form_targets: Sequence[str] = ()) -> None:
    """Set headers that restrict the page to styles, images and forms of this site."""
    targets = " ".join(("'self'", *form_targets))
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
    resp.set_header("Content-Security-Policy", policy)
    resp.set_header("X-Frame-Options", "DENY")
    resp.set_header("Referrer-Policy", "same-origin")
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Cache-Control", "no-store")


def render_failure(
    req: falcon.Request, resp: falcon.Response, failure: Failure, *, unsent: Any = None
) -> None:
    """Answer an error with a page. It contains the form `unsent`, if given (pages/common/unsent.py)."""
    messages = [message for field in (failure.details or {}).values() for message in field]
    render(
        req,
        resp,
        "failure.html",
        status=failure.status,
        title=_TITLES.get(failure.status, "That did not work"),
        messages=messages or [failure.message],
        request_id=failure.request_id,
        unsent=unsent,
    )


class StaticFile(Resource):
    """Serves a file of the pages. A subclass sets `filename`, and its media type in `operations`."""

    filename: ClassVar[str]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._data = (_HERE / "static" / self.filename).read_bytes()
        self._etag = f'"{sha256(self._data).hexdigest()[:32]}"'

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = self.operations["GET"].media_type
        answer_cached(req, resp, self._data, self._etag)


class Style(StaticFile):
    """Serves the style sheet of all pages."""

    filename = "site.css"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The style sheet of the pages", public=True, media_type="text/css; charset=utf-8"
        )
    }


class Icon(StaticFile):
    """Serves the icon that browsers show beside the title of a page."""

    filename = "icon.svg"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="The icon of the pages", public=True, media_type="image/svg+xml")
    }


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE / "templates", _HERE.parent / "panel" / "templates"]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(FILTERS)
    return environment
