"""The declaration of one verb of a page."""

from __future__ import annotations

import falcon

from api.http.resource import Verb
from domain.access import Role


class PageOperation(Verb, frozen=True, kw_only=True):
    """Who may use a page, and where its form stands.

    A page needs a session of a person of `least_role` or above unless it is `public`. `form_page` is the path
    of the page with the form, where the form is sent to another address; it may contain the names of the
    path's parameters in braces. With `keeps_form` a form that was sent after the session had ended is kept,
    to be sent again.
    """

    media_type: str = falcon.MEDIA_HTML
    public: bool = False
    least_role: Role = "guest"
    form_page: str = ""
    keeps_form: bool = False
