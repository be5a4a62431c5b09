"""/admin/password: people change their own password."""

from __future__ import annotations

from typing import ClassVar

import falcon

from commands.attempts import TooManyAttempts
from commands.own_password import ChangeOwnPassword, change_own_password
from domain.errors import DomainError, Invalid
from infrastructure.keys.passwords import HashingBusy
from pages.common.page_operation import PageOperation
from pages.common.passwords import BUSY, require_same
from pages.common.shown_form import ShownForm, Values
from pages.panel.editing import details_of
from pages.panel.page import REFUSALS, PanelPage, page_of, status_of

PATH = "/admin/password"
OWN_PASSWORD: Values = {"current": "", "password": "", "again": ""}


class OwnPassword(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("guest", "Choose a new password for oneself"),
        "POST": page_of("guest", "Change one's own password"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "own_password.html", form=ShownForm(OWN_PASSWORD))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.context.form
        try:
            command = ChangeOwnPassword(
                current=form.value("current"),
                password=require_same(form),
                address=req.context.remote_addr or "",
                session_id=req.context.session.id,
            )
            change_own_password(self.services.store, self.services.pool, command, self.command(req))
        except TooManyAttempts as refusal:
            resp.set_header("Retry-After", str(refusal.seconds))
            self._show_again(req, resp, Invalid({"current": [str(refusal)]}), 429)
            return
        except (*REFUSALS, HashingBusy) as error:
            refused = BUSY if isinstance(error, HashingBusy) else error
            self._show_again(req, resp, refused, status_of(refused))
            return
        self.go(resp, PATH, "own-password-set")

    def _show_again(
        self, req: falcon.Request, resp: falcon.Response, refusal: DomainError, status: int
    ) -> None:
        form = ShownForm(OWN_PASSWORD, errors=details_of(refusal))  # passwords are never shown again
        self.show(req, resp, "own_password.html", status=status, form=form)
