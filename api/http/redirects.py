"""Sending a browser on to another address."""

from __future__ import annotations

import falcon


def redirect(resp: falcon.Response, location: str) -> None:
    """See Other (303): the browser asks for the new address with GET, and forgets the form's fields."""
    resp.status = falcon.HTTP_303
    resp.content_type = "text/plain; charset=utf-8"
    resp.text = "See the Location header."
    resp.set_header("Location", location)
