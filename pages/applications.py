"""/oauth/applications: the consents that a user has given to applications, and their withdrawal."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import falcon
import msgspec

from api.http.redirects import redirect
from api.http.scopes import scope_labels
from api.oauth.clients import sql
from commands.oauth_grants import end_grant
from domain.errors import NotFound
from infrastructure.storage.postgres import Pool
from pages.common import rendering as pages
from pages.common.page import Page
from pages.common.page_operation import PageOperation

PATH = "/oauth/applications"


class Consent(msgspec.Struct, frozen=True):
    """One active grant."""

    grant_id: str
    client_name: str
    client_id: str
    scopes: list[str]
    given_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class Applications(Page):
    """Shows the caller's consents. POST withdraws a consent and revokes its tokens."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Applications that act for you"),
        "POST": PageOperation(summary="Withdraw a consent"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        consents = list_consents(self.services.pool, req.context.caller.principal_id)
        pages.render(req, resp, "applications.html", consents=consents, scope_labels=scope_labels)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        grant_id = req.context.form.value("grant")
        if not 1 <= len(grant_id) <= 64:
            raise NotFound("OAuth grant")
        context = req.context.command()
        end_grant(
            self.services.store, grant_id, "withdrawn_by_user", context, user_id=context.caller.principal_id
        )
        redirect(resp, PATH)


def list_consents(pool: Pool, user_id: str) -> list[Consent]:
    """The active grants of the user, newest first."""
    with pool.connection() as conn:
        return [Consent(*row) for row in conn.execute(sql["list_grants_of_user"], {"user_id": user_id})]
