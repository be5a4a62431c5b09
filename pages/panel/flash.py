"""A message on the page after a redirect about what was just done, in a cookie that lives for a minute.

The cookie contains only the name of one of the texts below.
"""

from __future__ import annotations

import falcon

from api.http.services import Services
from pages.common.sessions import cookie_name, set_page_cookie, unset_page_cookie

TEXTS = {
    "ticket-opened": "The ticket is open.",
    "ticket-saved": "The ticket is saved.",
    "ticket-deleted": "The ticket is deleted. An administrator can restore it.",
    "ticket-restored": "The ticket is back.",
    "comment-added": "Your comment is added.",
    "key-revoked": "The key is revoked. No request with it passes any more.",
    "client-revoked": "The application is shut out. None of its tokens is taken any more.",
    "user-registered": "The person is registered.",
    "user-saved": "The changes are saved.",
    "user-erased": "The person is erased.",
    "password-set": "The password is set. Every session of that person has ended.",
    "property-registered": "The property is registered.",
    "property-saved": "The changes are saved.",
    "unit-added": "The unit is added.",
    "webhook-registered": "The webhook is registered.",
    "webhook-saved": "The changes are saved.",
    "webhook-on": "The webhook is switched on. What is due is sent at once.",
    "webhook-off": "The webhook is switched off. Nothing is sent until it is switched on.",
    "webhook-deleted": "The webhook is deleted.",
    "webhook-tested": "A test is on its way. Reload the page to see what came of it.",
    "delivery-repeated": "It is sent again. Reload the page to see what came of it.",
    "verification-started": "The verification is under way. Reload the page to see how far it is.",
}


def leave(resp: falcon.Response, services: Services, name: str) -> None:
    """Show TEXTS[name] on the next page."""
    assert name in TEXTS
    set_page_cookie(resp, services.settings, _cookie(services), name, seconds=60)


def take(req: falcon.Request, resp: falcon.Response, services: Services) -> str | None:
    """The message for this page, if any; it is shown once."""
    values = req.get_cookie_values(_cookie(services))
    if not values:
        return None
    unset_page_cookie(resp, services.settings, _cookie(services))
    return TEXTS.get(values[0])


def _cookie(services: Services) -> str:
    return f"{cookie_name(services.settings)}-done"
