"""Renders pages, with the headers that every page has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import falcon
import jinja2

from api.http.errors import Failure
from pages.common.filters import FILTERS
from pages.common.problems import add_summaries
from pages.common.shown_form import ShownForm

_HERE = Path(__file__).parent
_TITLES = {
    401: "An API key is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible at this address",
    429: "Too many attempts",
    500: "Something went wrong",
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
    """Answer with a page. The template also gets `session`, which is None without a signed-in user, and
    `outcome`, with which the title begins.

    `form_targets` are other origins to which an answer to a form of this page may redirect, because browsers
    apply form-action to redirects too.
    """
    values.setdefault("session", getattr(req.context, "session", None))
    values.setdefault("outcome", "")
    forms = [value for value in values.values() if isinstance(value, ShownForm)]
    if values.get("complaint") or any(form.errors for form in forms):
        values["outcome"] = "Error: "
    page = _environment().get_template(template).render(path=req.path, **values)
    resp.status = status
    resp.content_type = falcon.MEDIA_HTML
    resp.data = add_summaries(page, forms, _environment().get_template("problems.html")).encode()
    set_headers(resp, form_targets=form_targets)


def set_headers(resp: falcon.Response, *, form_targets: Sequence[str] = ()) -> None:
    """Set headers that restrict the page to styles, scripts, images and forms of this site."""
    targets = " ".join(("'self'", *form_targets))
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' blob:; "
        f"base-uri 'none'; frame-ancestors 'none'; form-action {targets}"
    )
    resp.set_header("Content-Security-Policy", policy)
    resp.set_header("X-Frame-Options", "DENY")
    resp.set_header("Referrer-Policy", "same-origin")
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Cache-Control", "no-store")


def render_failure(
    req: falcon.Request, resp: falcon.Response, failure: Failure, *, unsent: Any = None, is_api: bool = False
) -> None:
    """Answer an error with a page. It contains the form `unsent`, if given (pages/common/unsent.py).

    With `is_api` the address is one of the API, and the page refers to its documentation.
    """
    messages = [message for field in (failure.details or {}).values() for message in field]
    render(
        req,
        resp,
        "failure.html",
        status=failure.status,
        title=_TITLES.get(failure.status, "That did not work"),
        messages=messages or [failure.message],
        request_id=failure.request_id,
        needs_key=is_api and failure.status == 401,
        is_api=is_api,
        unsent=unsent,
    )


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
