"""Requests with which an open page waits for changes by others, without a thread (api/http/parking.py).

The page has the address of its request, which says what the page shows. The answer is 200 when there is
something newer, or 204 after WAIT_SECONDS; then the page asks again. Waiting does not extend the session.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import ClassVar

import falcon
import msgspec
from msgspec.structs import replace

from api.http.draining import draining
from api.http.parking import Subscribe, can_wait, has_waited, wait
from api.http.queries import read_query
from api.v1.ticket_rows import visible_row
from domain.access import Caller, Role
from pages.common.page_operation import PageOperation
from pages.common.rendering import set_headers
from pages.panel.page import PanelPage, page_of
from projections.change_scope import Scope
from projections.change_watch import Interest
from projections.tickets import FoundTicket

WAIT_SECONDS = 55  # less than the 60 seconds after which proxies give up


class ShownTicket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seen: str = ""


class ShownList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: int = 0


def _waiting(least_role: Role, summary: str) -> PageOperation:
    operation = page_of(least_role, summary)
    return replace(operation, media_type=falcon.MEDIA_TEXT, keeps_form=False, is_background=True)


class TicketNews(PanelPage):
    """Waits until the caller can see a ticket differently."""

    operations: ClassVar[dict[str, PageOperation]] = {"GET": _waiting("guest", "Wait for news of a ticket")}

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        caller, given = req.context.caller, read_query(req, ShownTicket)
        if _is_over(req):
            _answer(req, resp, has_news=False)
            return
        position = self.services.changes.reached()
        now = digest_of(visible_row(self.services, caller, ticket_id), caller)
        interest = Interest.of_subject(ticket_id)
        subscribe = partial(self.services.changes.add, interest, position)
        _answer(req, resp, has_news=now != given.seen, subscribe=subscribe)


class ListNews(PanelPage):
    """Waits for a change of a ticket in the caller's reach after a position of the log."""

    operations: ClassVar[dict[str, PageOperation]] = {"GET": _waiting("staff", "Wait for news of the list")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, given = req.context.caller, read_query(req, ShownList)
        is_woken = has_waited(req) and not _is_over(req)
        reach = caller.property_ids
        scope = Scope(self_id=caller.principal_id, property_ids=reach, ticket_property_ids=reach)
        interest = Interest.of_caller(scope, ("tickets",), caller.user_id)
        subscribe = partial(self.services.changes.add, interest, given.after)
        _answer(req, resp, has_news=is_woken, subscribe=subscribe)


def news_address(row: FoundTicket, caller: Caller) -> str:
    """The address at which a page that shows the ticket so waits for news."""
    return f"/admin/tickets/{row.detail.id}/news?seen={digest_of(row, caller)}"


def digest_of(row: FoundTicket, caller: Caller) -> str:
    """A digest of the ticket as the caller sees it.

    The addresses of files, which expire, do not count. For guests nor does the time of the last change: it
    may be that of an internal comment.
    """
    files = [replace(file, url="") for file in row.detail.attachments]
    shown = replace(row.detail, attachments=files, updated_at=row.detail.created_at)
    version = 0 if caller.role == "guest" else row.version
    return sha256(msgspec.json.encode((version, shown))).hexdigest()[:16]


def _is_over(req: falcon.Request) -> bool:
    """Whether the request has waited as long as it may. The page asks again, so nothing is looked up."""
    return has_waited(req) and not can_wait(req, WAIT_SECONDS)


def _answer(
    req: falcon.Request, resp: falcon.Response, *, has_news: bool, subscribe: Subscribe | None = None
) -> None:
    set_headers(resp)
    resp.content_type = falcon.MEDIA_TEXT
    if has_news:
        resp.text = "changed"
    elif subscribe and not draining.is_set() and can_wait(req, WAIT_SECONDS):
        wait(req, subscribe)
    else:
        resp.status = falcon.HTTP_204
