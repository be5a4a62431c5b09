"""Shows the links with which people set a password, each once."""

from __future__ import annotations

import falcon

from commands.one_time_links import IssuedLink, issue_invitation, link_url
from commands.shown_once import SecretWasShown
from domain.access import Context
from pages.panel import flash
from pages.panel.page import PanelPage


def invite(
    page: PanelPage, req: falcon.Request, resp: falcon.Response, user_id: str, context: Context
) -> None:
    """Make an invitation link for the person and show it. A repeated form leads to the person's page."""
    try:
        issued = issue_invitation(page.services.store, user_id, context)
    except SecretWasShown:
        page.go(resp, f"/admin/users/{user_id}", "invitation-was-shown")
        return
    show_link(page, req, resp, issued, "person_invitation.html", issued.user.name)


def show_link(
    page: PanelPage,
    req: falcon.Request,
    resp: falcon.Response,
    issued: IssuedLink,
    template: str,
    name: str,
) -> None:
    """Show the link to the manager. The next page waits until the read tables contain the person."""
    if not page.services.visibility.wait_for(issued.user.position):
        flash.set_pending(resp, page.services, issued.user.position)
    page.show(
        req,
        resp,
        template,
        user_id=issued.user.id,
        name=name,
        url=link_url(page.services.settings.base_url, issued.secret),
        expires_at=issued.expires_at,
    )
