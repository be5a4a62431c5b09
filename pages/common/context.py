"""What is known of a request for a page, beside what api/http/context.py has: its session and form."""

from __future__ import annotations

import falcon

from api.http.context import RequestContext
from api.http.forms import Form
from pages.common.sessions import WebSession


class PageContext(RequestContext):
    """`session`, and `form` for a POST, are there on pages for people who are signed in."""

    session: WebSession
    form: Form


class Request(falcon.Request):
    context_type = PageContext
