"""/v1/changes: all that has changed of what the caller may see, to keep a copy of it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http.bodies import respond
from api.http.draining import draining
from api.http.errors import Refused
from api.http.parking import can_wait, wait
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1.examples import TICKET
from domain.access import Caller, Scope
from projections.change_items import ChangeItem
from projections.change_position import PATTERN, ChangePosition
from projections.change_scope import Followed
from projections.change_watch import Interest
from projections.changes import ChangesQuery, read_changes

MAX_ITEMS = 500
MAX_WAIT_SECONDS = 25
_NEEDED: dict[Followed, Scope] = {"properties": "properties:read", "users": "users:read"}

DESCRIPTION = f"""\
Everything that enters, changes within or leaves what the caller may see, in the order of the log and without
gaps. An integration keeps an exact copy with it; `updated_after` of GET /v1/tickets is only a filter, and
misses changes. Send the first request without `after`: it begins with all present objects. Send each further
one with `after` set to the `position` of the previous answer, as it is: a position of the log, at times with
further numbers after a full stop. A position belongs to one key and one value of `of`.

Each object is returned in its newest state, at the position of its last event; one answer has it at most
once. `kind` is `upsert`, or `gone` when the object was deleted or has left the caller's reach.
`reach_changed` says that the caller's own role or properties have changed: remove the tickets of the
properties in `lost`, these properties, and the people who belong to no other one. The objects of the
properties in `gained` follow, at the position that was sent. A guest gains no property: the guest's own
tickets follow.

A ticket shows the names of its property, unit and people as they were when it was read; a new name is a
change of the property or the person, not of the ticket. Follow them with `of`.

With `wait` the server answers as soon as there is a change, or without items after this number of seconds, at
most {MAX_WAIT_SECONDS}. The guide is docs/how-to/copies.md.
"""


class ChangesParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    after: Annotated[str, Meta(pattern=PATTERN, description="The `position` of the previous answer")] = "0"
    limit: Annotated[
        int, Meta(ge=1, le=MAX_ITEMS, description="The maximum number of items in the answer")
    ] = 100
    wait: Annotated[
        int, Meta(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait if nothing has changed")
    ] = 0
    of: Annotated[tuple[Followed, ...], Meta(description="The kinds of objects to follow")] = ("tickets",)
    full: Annotated[
        bool, Meta(description="Whether items have the objects, not only their ids and versions")
    ] = True


class ChangesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is the value of `after` for the next request. `has_more`: there are more items now."""

    items: list[ChangeItem]
    position: str
    has_more: bool


class Changes(Resource):
    """Serves the changes."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Follow all changes, to keep a copy",
            description=DESCRIPTION,
            roles="all; each caller gets what they may see",
            scope="tickets:read",
            query=ChangesParameters,
            answer=ChangesAnswer,
            answer_example={
                "items": [
                    {
                        "position": 42,
                        "kind": "upsert",
                        "ticket_id": TICKET["id"],
                        "version": 3,
                        "ticket": TICKET,
                    }
                ],
                "position": "42",
                "has_more": False,
            },
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        given = read_query(req, ChangesParameters)
        _require_scopes(caller, given.of)
        of = tuple(dict.fromkeys(given.of))
        query = ChangesQuery(
            after=ChangePosition.parse(given.after), limit=given.limit, of=of, full=given.full
        )
        page = read_changes(self.services.pool, caller, query)
        is_empty = not page.items and not page.has_more
        if is_empty and given.wait and not draining.is_set() and can_wait(req, given.wait):
            interest = Interest.of_caller(page.scope, of, caller.user_id)
            wait(req, partial(self.services.changes.add, interest, page.seen))
            return
        respond(resp, {"items": page.items, "position": str(page.position), "has_more": page.has_more})


def _require_scopes(caller: Caller, of: tuple[Followed, ...]) -> None:
    """Raise Refused unless the credential may read each kind of objects that it follows."""
    for followed in of:
        if (scope := _NEEDED.get(followed)) and scope not in caller.scopes:
            raise Refused(
                "insufficient_scope", f"This key lacks the scope {scope}, which of={followed} needs."
            )
