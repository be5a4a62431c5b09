"""The data of one request for a page: the fields of RequestContext, the session and the form."""

from __future__ import annotations

import falcon

from api.http.context import RequestContext
from api.http.forms import Form
from pages.common.sessions import WebSession


class PageContext(RequestContext):
    """On pages that need a session, `session` is set, and for a POST also `form`."""

    session: WebSession
    form: Form
    may_lag = False  # the page may lack the person's last change


class Request(falcon.Request):
    context_type = PageContext
