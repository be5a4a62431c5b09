"""/admin/sign-in and /admin/sign-out."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.errors import Refused
from api.resource import Operation, Resource
from api.web import pages, sessions
from api.web.forms import read_form, require_own_form
from commands.sign_in import SignIn, SignInRefused, TooManyAttempts, end_session, sign_in
from domain.access import Caller
from infrastructure.passwords import HashingBusy

_NOBODY = Caller(principal_id="nobody", name="nobody", role="guest", auth="session")


class SignInPage(Resource):
    """Asks for e-mail address and password. `next` is the path of ours to go on to."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="Sign in", public=True, media_type="text/html"),
        "POST": Operation(summary="Sign in", public=True, media_type="text/html", status=303),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        next_path = sessions.local_path(req.get_param("next") or "")
        if sessions.find_session(req, self.services) is not None:
            pages.redirect(resp, next_path)
            return
        self._show(req, resp, next_path)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = read_form(req)
        token = sessions.given_form_token(req, self.services)
        if token is None:
            message = "The browser sent no cookie along: allow cookies for this site and open the page again."
            raise Refused("forbidden", message)
        require_own_form(req, self.services, form, token)
        next_path = sessions.local_path(form.value("next"))
        before = sessions.find_session(req, self.services)
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
            self._show_again(req, resp, next_path, command.account, refusal)
            return
        sessions.set_session(resp, self.services, signed_in.secret)
        pages.redirect(resp, next_path)

    def _show_again(
        self, req: falcon.Request, resp: falcon.Response, next_path: str, account: str, refusal: Exception
    ) -> None:
        status, complaint = 403, str(refusal)
        if isinstance(refusal, TooManyAttempts):
            status = 429
            resp.set_header("Retry-After", str(refusal.seconds))
        elif isinstance(refusal, HashingBusy):
            status, complaint = 503, "Many people are signing in just now. Try again in a second."
            resp.set_header("Retry-After", "1")
        self._show(req, resp, next_path, status=status, account=account, complaint=complaint)

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        next_path: str,
        *,
        status: int = 200,
        account: str = "",
        complaint: str | None = None,
    ) -> None:
        token = sessions.form_token(req, resp, self.services)
        pages.render(
            req,
            resp,
            "sign_in.html",
            status=status,
            session=None,
            csrf_token=token,
            next_path=next_path,
            account=account,
            complaint=complaint,
        )


class SignOut(Resource):
    """Ends the session on the server."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(summary="Sign out", session=True, media_type="text/html", status=303)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        end_session(self.services.store, req.context.session.id, req.context.command())
        sessions.clear_session(resp, self.services)
        pages.redirect(resp, sessions.SIGN_IN_PATH)
