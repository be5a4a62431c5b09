"""A message about the last action, shown on the page after a redirect. A cookie stores it for a minute.

The cookie contains only the name of one of the texts below. Another cookie contains the position of a change
that the read tables did not show in time, so that later pages wait for it or say that they may lack it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import falcon

from api.http.services import Services
from domain.access import Role
from domain.text import is_id
from pages.common.sessions import cookie_name, set_page_cookie, unset_page_cookie

TEXTS = {
    "ticket-opened": "The ticket is open.",
    "ticket-saved": "The ticket is saved.",
    "tickets-changed": "The tickets are changed.",
    "view-saved": "The view is saved.",
    "view-removed": "The view is removed.",
    "nothing-chosen": "Nothing was changed. Tick tickets, and choose what to change.",
    "ticket-deleted": "The ticket is deleted. An administrator can restore it.",
    "ticket-restored": "The ticket is restored.",
    "comment-added": "Your comment is added.",
    "comment-edited": "The comment is saved.",
    "comment-removed": "The comment is removed.",
    "problem-reported": "Thank you. Your report is sent.",
    "answer-sent": "Your answer is sent.",
    "file-added": "The file is attached.",
    "files-added": "The files are attached.",
    "file-removed": "The file is removed.",
    "key-revoked": "The key is revoked. Requests with it are refused.",
    "client-revoked": "The application is revoked. All its tokens are refused.",
    "user-registered": "The person is registered.",
    "invitation-was-shown": "The link was shown before. If it was lost, make a new one here.",
    "user-saved": "The changes are saved.",
    "user-erased": "The person is erased.",
    "user-deactivated": "The person is deactivated. Sign-ins, keys and tokens are refused.",
    "user-reactivated": "The person is active again.",
    "own-password-set": "Your password is changed. Your other sessions have ended.",
    "password-set": "The password is set. Every session of that person has ended.",
    "property-registered": "The property is registered.",
    "property-saved": "The changes are saved.",
    "unit-added": "The unit is added.",
    "webhook-registered": "The webhook is registered.",
    "webhook-saved": "The changes are saved.",
    "webhook-on": "The webhook is enabled. Pending deliveries are sent now.",
    "webhook-off": "The webhook is disabled. Nothing is sent until it is enabled.",
    "webhook-deleted": "The webhook is deleted.",
    "webhook-tested": "A test is queued. The deliveries show its result.",
    "delivery-repeated": "The delivery is queued again. Its attempts show the result.",
    "deliveries-recovered": "The failed deliveries are queued again.",
    "events-replayed": "The missing events are queued.",
    "events-partly-replayed": "The first of the missing events are queued. Continue with the others.",
    "verification-started": "The verification is running. Reload the page to see its progress.",
}


# The addresses of the forms that undo an action, and who may use them.
UNDO: dict[str, tuple[Role, str]] = {"ticket-deleted": ("admin", "/admin/tickets/{}/restore")}
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)


class Message(NamedTuple):
    """`undo` is the address of the form that undoes the action; empty without one."""

    text: str
    undo: str


def set_message(resp: falcon.Response, services: Services, name: str, subject_id: str = "") -> None:
    """Show TEXTS[name] on the next page, with a button to undo the action on the subject if UNDO has one."""
    assert name in TEXTS
    set_page_cookie(resp, services.settings, _cookie(services), f"{name}.{subject_id}", seconds=60)


def take_message(req: falcon.Request, resp: falcon.Response, services: Services) -> Message | None:
    """Return the message for this page, if any, and delete the cookie: it is shown once."""
    values = req.get_cookie_values(_cookie(services))
    if not values:
        return None
    unset_page_cookie(resp, services.settings, _cookie(services))
    name, _, subject_id = values[0].partition(".")
    if name not in TEXTS:
        return None
    least_role, undo = UNDO.get(name, ("admin", ""))
    may_undo = is_id(subject_id) and req.context.caller.is_at_least(least_role)
    return Message(TEXTS[name], undo.format(subject_id) if may_undo else "")


def set_pending(resp: falcon.Response, services: Services, position: int) -> None:
    """Have the next pages wait for the position, until it is reached."""
    set_page_cookie(resp, services.settings, _pending_cookie(services), str(position))


def wait_for_pending(req: falcon.Request, resp: falcon.Response, services: Services) -> bool:
    """Wait briefly for the person's last change. Returns whether the page may lack it."""
    values = req.get_cookie_values(_pending_cookie(services))
    if not values:
        return False
    if _POSITION.fullmatch(values[0]) and not services.visibility.wait_for(int(values[0]), is_read=True):
        return True
    unset_page_cookie(resp, services.settings, _pending_cookie(services))
    return False


def _pending_cookie(services: Services) -> str:
    return f"{cookie_name(services.settings)}-pending"


def _cookie(services: Services) -> str:
    return f"{cookie_name(services.settings)}-done"
