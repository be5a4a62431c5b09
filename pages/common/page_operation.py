"""The declaration of one verb of a page."""

from __future__ import annotations

import falcon

from api.http.resource import Verb
from domain.access import Role


class PageOperation(Verb, frozen=True, kw_only=True):
    """The declaration of one verb of a page.

    Unless the page is `public`, it needs a session of a user with `least_role` or above. `form_page` is the
    path of the page with the form, if the form is sent to another address; it may contain the parameters of
    the path in braces. With `keeps_form`, a form that is sent after the session has ended can be sent again
    after the next sign-in. A request that `is_background`, sent by a script, does not extend the
    session.
    """

    media_type: str = falcon.MEDIA_HTML
    least_role: Role = "guest"
    form_page: str = ""
    keeps_form: bool = False
    file_field: str = ""
    is_background: bool = False
