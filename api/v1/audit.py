"""/v1/audit/events: the audit trail."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http.moments import require_span
from api.http.paging import CursorQuery, read_cursor, respond_with_page
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from domain.events import ACTIONS
from domain.text import Id
from projections.audit import AuditEntry, AuditQuery, list_audit_events
from projections.ticket_filters import Order

KINDS = sorted({action.partition(".")[0] for action in ACTIONS})
_CHOICES = (*ACTIONS, *(f"{kind}.*" for kind in KINDS))
_ACTION_HELP = f"Types of events, or all types with a prefix: {', '.join(f'`{kind}.*`' for kind in KINDS)}"


_PATTERN = "|".join(map(re.escape, _CHOICES))
Action = Annotated[
    str, Meta(pattern=rf"^({_PATTERN})\Z", description=f"It must be one of {', '.join(_CHOICES)}.")
]


class AuditEventsQuery(CursorQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filters of the search, which combine with AND, the items of one filter with OR."""

    actor: Annotated[tuple[Id, ...], Meta(description="Ids of users or keys, or `cli` or `system`")] = ()
    property_id: tuple[Id, ...] = ()
    action: Annotated[tuple[Action, ...], Meta(description=_ACTION_HELP)] = ()
    ticket_id: tuple[Id, ...] = ()
    request_id: tuple[Id, ...] = ()
    since: Annotated[datetime | None, Meta(description="Included")] = msgspec.field(name="from", default=None)
    until: Annotated[datetime | None, Meta(description="Not included")] = msgspec.field(
        name="to", default=None
    )
    order: Order = "desc"


class AuditEvents(Resource):
    """Searches the events of the whole log: of tickets, users, properties, keys, sign-ins and all others."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Search the audit trail",
            description="Lists the matching events in the order of the log, newest first unless `order=asc`."
            " `from` is included, `to` is not. The other filters take several values, separated by commas or"
            " in repeated parameters. Follow `links.next`; there are no totals. `facts` contains"
            " the data of the event. Reads of the audit trail are recorded as `audit.read`, and refused"
            " writes as `access.denied`. Equal requests within a minute are recorded as one event, whose"
            " field `times` counts them.",
            roles="admin; managers, for events of their properties",
            scope="audit:read",
            may_lag=True,
            query=AuditEventsQuery,
            answer=AuditEntry,
            answer_example=examples.AUDIT_EVENTS,
            is_list=True,
            is_recorded=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        caller.require("manager", "read the audit trail")
        query = read_query(req, AuditEventsQuery)
        require_span("from", query.since, "to", query.until)
        wanted = AuditQuery(
            actor=query.actor,
            property_id=query.property_id,
            actions=expand_actions(query.action),
            subject_id=query.ticket_id,
            request_id=query.request_id,
            since=query.since,
            until=query.until,
            order=query.order,
            limit=query.limit,
            after=read_cursor(query, self.services.signing_key),
        )
        page = list_audit_events(self.services.pool, self.services.store, caller, wanted)
        respond_with_page(req, resp, page, query, self.services)


def expand_actions(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The types of events that match the patterns, such as `ticket.opened` or `ticket.*`."""
    return tuple(
        action
        for pattern in patterns
        for action in ACTIONS
        if action == pattern or (pattern.endswith(".*") and action.startswith(pattern.removesuffix("*")))
    )
