"""Redirects of browsers."""

from __future__ import annotations

import falcon


def redirect(resp: falcon.Response, location: str) -> None:
    """Answer 303 (See Other): the browser requests `location` with GET and without the form's fields."""
    resp.status = falcon.HTTP_303
    resp.content_type = "text/plain; charset=utf-8"
    resp.text = "See the Location header."
    resp.set_header("Location", location)
