"""Reads a ticket as it was at an earlier version or moment."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import falcon
import msgspec
from msgspec import Meta

from api.http.moments import moment_of
from api.http.queries import read_query
from api.http.services import Services
from api.v1.shapes import found_ticket
from domain.access import Caller
from domain.errors import Invalid, NotFound
from domain.ticket import Ticket
from infrastructure.storage.comment_log import past_comments
from projections.included import COMMENTS_SHOWN
from projections.tickets import FoundTicket

AS_OF = Annotated[
    datetime | None,
    Meta(
        description="A time in the past. A time without a fraction includes its whole second",
        extra_json_schema={"format": "date-time"},  # msgspec omits it where there is a Meta
    ),
]


class MomentQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give at most one of the two. Without both, the answer is the current ticket."""

    as_of: AS_OF = None
    version: Annotated[int, Meta(ge=1, description="An earlier version")] | None = None

    @property
    def is_past(self) -> bool:
        return self.as_of is not None or self.version is not None


M = TypeVar("M", bound=MomentQuery)


def read_moment(req: falcon.Request, kind: type[M]) -> M:
    """The query, with `as_of` as the last moment that it includes. Raises Invalid."""
    query = read_query(req, kind)
    if query.as_of is None:
        return query
    if query.version is not None:
        raise Invalid({"version": ["The version parameter cannot be combined with as_of."]})
    return msgspec.structs.replace(query, as_of=moment_of(query.as_of))


def past_row(services: Services, caller: Caller, ticket_id: str, query: MomentQuery) -> FoundTicket:
    """The earlier state of the ticket, with current names.

    It is visible to callers who may see the ticket now, or could see it then; if the ticket is deleted now,
    only to auditors. Only auditors see the comments and files that were removed since, and former texts of
    comments. Raises NotFound for other callers, and if the ticket did not exist then.
    """
    then, now = _then_and_now(services, ticket_id, query)
    if now is None or not _may_see(caller, then, now):
        raise NotFound("ticket")
    if query.version is not None and query.version > now.version:
        raise NotFound(f"version of this ticket; the newest is {now.version}")
    if then is None or then.is_deleted:
        raise NotFound("ticket at that moment")
    known_at = then.version if caller.is_auditor else now.version
    if not caller.is_auditor:
        then.attachments = tuple(file for file in then.attachments if file in now.attachments)
    comments = past_comments(
        services.store,
        then,
        known_at,
        include_internal=caller.role != "guest",
        limit=COMMENTS_SHOWN,
    )
    return found_ticket(services.pool, then, comments)


def _then_and_now(
    services: Services, ticket_id: str, query: MomentQuery
) -> tuple[Ticket | None, Ticket | None]:
    store = services.store
    now = store.find(Ticket, ticket_id)
    if now is None:
        return None, None
    version = query.version or now.version
    if query.as_of is not None:
        version = store.version_at(ticket_id, query.as_of, now.version)
    return store.at_version(Ticket, ticket_id, min(version, now.version)), now


def _may_see(caller: Caller, then: Ticket | None, now: Ticket) -> bool:
    if now.is_deleted and not caller.is_auditor:
        return False
    states = (now,) if then is None else (now, then)
    return any(caller.may_see_ticket(state.property_id, state.requester_id) for state in states)
