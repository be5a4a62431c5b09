"""The pages /admin/sign-in and /admin/sign-out."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.errors import Refused
from api.http.forms import Form, read_form
from api.http.redirects import redirect
from commands.attempts import TooManyAttempts
from commands.sign_in import SignIn, SignInRefused, end_session, sign_in
from domain.access import Caller
from infrastructure.keys.passwords import HashingBusy
from pages.common import sessions
from pages.common.csrf import is_from_own_page, require_own_form, token_for
from pages.common.page import Page
from pages.common.page_operation import PageOperation
from pages.common.unsent import carried_form, show_unsent

_LONGEST_ACCOUNT = 254  # characters of what was typed that are shown again; no e-mail address is longer
_NOBODY = Caller(principal_id="nobody", name="nobody", role="guest", auth="session")


class SignInPage(Page):
    """Asks for e-mail address and password. `next` is the local path to continue at."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Sign in", public=True),
        "POST": PageOperation(summary="Sign in", public=True),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        next_path = sessions.local_path(req.get_param("next") or "")
        if sessions.find_session(req, self.services) is not None:
            redirect(resp, next_path)
            return
        sessions.ask_to_sign_in(req, resp, self.services, next_path)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = read_form(req)
        token = sessions.expected_form_token(req, self.services)
        before = sessions.find_session(req, self.services)
        if token is None and before is not None and is_from_own_page(req, self.services):
            self._continue(req, resp, form, before.csrf_token)  # the browser sent the form again by a reload
            return
        if token is None:
            message = "The browser sent no cookie. Allow cookies for this site and open the page again."
            raise Refused("forbidden", message)
        require_own_form(req, self.services, form, token)
        req.context.caller = _NOBODY
        command = SignIn(
            account=form.text("account"),
            password=form.value("password"),
            address=req.context.remote_addr or "",
            replaces=before.id if before else None,
        )
        try:
            signed_in = sign_in(self.services.store, self.services.pool, command, req.context.command())
        except (SignInRefused, TooManyAttempts, HashingBusy) as refusal:
            self._ask_again(req, resp, form, refusal)
            return
        sessions.set_session(resp, self.services, signed_in.secret)
        self._continue(req, resp, form, token_for(signed_in.secret))

    def _continue(self, req: falcon.Request, resp: falcon.Response, form: Form, csrf_token: str) -> None:
        """Redirect to the requested page, or show the form that was sent after the session had ended."""
        next_path, unsent = sessions.local_path(form.value("next")), carried_form(form)
        if unsent is None:
            redirect(resp, next_path)
            return
        show_unsent(req, resp, unsent, next_path, csrf_token, status=200)

    def _ask_again(self, req: falcon.Request, resp: falcon.Response, form: Form, refusal: Exception) -> None:
        status, complaint = 403, str(refusal)
        if isinstance(refusal, TooManyAttempts):
            status = 429
            resp.set_header("Retry-After", str(refusal.seconds))
        elif isinstance(refusal, HashingBusy):
            status, complaint = 503, "Too many people are signing in at the moment. Try again in a second."
            resp.set_header("Retry-After", "1")
        sessions.ask_to_sign_in(
            req,
            resp,
            self.services,
            sessions.local_path(form.value("next")),
            status=status,
            account=form.text("account")[:_LONGEST_ACCOUNT],
            complaint=complaint,
            unsent=carried_form(form),
        )


class SignOut(Page):
    """Ends the session, if it has not ended already."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": PageOperation(summary="Sign out", public=True, form_page=sessions.HOME_PATH)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        session = sessions.find_session(req, self.services)
        if session is not None:
            require_own_form(req, self.services, read_form(req), session.csrf_token)
            req.context.caller = session.caller
            end_session(self.services.store, session.id, req.context.command())
        sessions.clear_session(resp, self.services)
        redirect(resp, sessions.SIGN_IN_PATH)
