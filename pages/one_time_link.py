"""/admin/one-time-link: the holder of a one-time link sets a password, without signing in."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.errors import Refused
from api.http.forms import read_form
from commands.one_time_links import LINK_PATH, LinkInvalid, find_person, use_link
from commands.passwords import has_password
from domain.access import Caller
from domain.errors import Invalid
from domain.user import User
from infrastructure.keys.passwords import HashingBusy
from pages.common import rendering as pages
from pages.common import sessions
from pages.common.csrf import require_own_form
from pages.common.page import Page
from pages.common.page_operation import PageOperation
from pages.common.passwords import BUSY, require_same
from pages.common.shown_form import ShownForm, Values

PATH = LINK_PATH
NEW_PASSWORD: Values = {"password": "", "again": ""}
_HOLDER = Caller(principal_id="holder", name="holder of a link", role="guest", auth="session")


class OneTimeLinkPage(Page):
    """Opening the page does not use up the link, because mail programs open links in advance."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Choose a password", public=True),
        "POST": PageOperation(summary="Set the password of the link's person", public=True),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        secret = req.get_param("link") or ""
        try:
            person = find_person(self.services.store, secret)
        except LinkInvalid as error:
            _show_invalid(req, resp, error)
            return
        self._show(req, resp, person, secret, ShownForm(NEW_PASSWORD))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = read_form(req)
        token = sessions.expected_form_token(req, self.services)
        if token is None:
            message = "The browser sent no cookie. Allow cookies for this site and open the link again."
            raise Refused("forbidden", message)
        require_own_form(req, self.services, form, token)
        secret = form.value("link")
        req.context.caller = _HOLDER
        try:
            person = find_person(self.services.store, secret)
            use_link(self.services.store, secret, require_same(form), req.context.command())
        except LinkInvalid as error:
            _show_invalid(req, resp, error)
            return
        except (Invalid, HashingBusy) as error:
            refusal = BUSY if isinstance(error, HashingBusy) else error
            self._show(req, resp, person, secret, ShownForm(NEW_PASSWORD, errors=refusal.details), 422)
            return
        pages.render(req, resp, "one_time_link_used.html", session=None, person=person)

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        person: User,
        secret: str,
        form: ShownForm,
        status: int = 200,
    ) -> None:
        pages.render(
            req,
            resp,
            "one_time_link.html",
            status=status,
            session=None,
            csrf_token=sessions.form_token(req, resp, self.services),
            person=person,
            is_first=not has_password(self.services.store, person.id),
            link=secret,
            form=form,
        )


def _show_invalid(req: falcon.Request, resp: falcon.Response, error: LinkInvalid) -> None:
    """Show what the person can do now, without revealing why the link is not valid."""
    req.context.error_code = error.code
    pages.render(req, resp, "one_time_link_invalid.html", status=404, session=None)
