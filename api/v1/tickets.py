"""/v1/tickets."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar

import falcon
from msgspec import Meta

from api.http.bodies import read_values, respond
from api.http.etags import etag, expected_versions, is_not_modified, respond_if_modified
from api.http.moments import moment_of, require_span
from api.http.paging import ListQuery, read_cursor, respond_with_page
from api.http.pending_changes import wait_until_shown
from api.http.queries import convert_query, read_query
from api.http.resource import Operation, Resource
from api.http.selected_fields import select_fields
from api.http.services import Services
from api.v1 import examples, ticket_csv
from api.v1.past_tickets import AS_OF, past_row, read_moment
from api.v1.shapes import known_names, ticket_summary
from api.v1.ticket_parts import (
    ListIncludes,
    SummaryFields,
    TicketItemQuery,
    require_included,
    shown_by,
)
from api.v1.ticket_rows import (
    newest_history,
    require_history_reader,
    shown_detail,
    shown_summary,
    visible_row,
)
from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket, TicketChanges, change_ticket, delete_ticket, restore_ticket
from commands.users import RESERVED_IDS
from domain.access import Caller
from domain.errors import Invalid
from domain.text import Category, ExternalIdFilter, Id, SearchText, Tag
from domain.ticket import Priority, Status, Ticket
from domain.ticket_rights import allowed_statuses
from projections.found_tickets import LIMITS
from projections.ticket_filters import Order, Sort, TicketQuery
from projections.tickets import FoundTicket, list_tickets, names_of
from projections.views import Names, Page, TicketDetail, TicketSummary

SearchedWords = Annotated[
    SearchText,
    Meta(
        description="Finds the tickets that contain all these words, in the title, the description and the"
        " visible comments together, in any order. Case and accents make no difference. The beginning of a"
        " word is enough: `plumb` finds plumbing. `-word` excludes the tickets with a word that begins so."
        ' `"no water"` finds exactly these words, one after the other. Other punctuation separates words.'
        " `B-12`, `B12` and `B 12` are the same, and so are the spellings of a telephone number. `1042` and"
        " `#1042` alone also find the ticket with that `number`. A text without a letter or digit is"
        " refused."
    ),
]


class TicketListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filters and the order of a list. Filters combine with AND, the items of one filter with OR."""

    status: tuple[Status, ...] = ()
    priority: tuple[Priority, ...] = ()
    category: tuple[Category, ...] = ()
    tag: Annotated[tuple[Tag, ...], Meta(description="Finds the tickets with any of these tags")] = ()
    external_id: ExternalIdFilter = ()
    assigned_to: Annotated[tuple[Id, ...], Meta(description="Ids of users, `me`, `none` or `inactive`")] = ()
    requester_id: Annotated[tuple[Id, ...], Meta(description="Ids of users, or `me`")] = ()
    property_id: tuple[Id, ...] = ()
    unit_id: tuple[Id, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: Annotated[
        datetime | None,
        Meta(description="A filter. To keep a copy, follow GET /v1/changes: this filter misses changes."),
    ] = None
    updated_before: datetime | None = None
    q: SearchedWords | None = None
    as_of: AS_OF = None
    sort: Annotated[
        Sort,
        Meta(
            description="`relevance` needs `q`, and cannot be combined with `as_of`: the newest"
            f" {LIMITS.ranked} matches first, ordered by how often and how close together they contain the"
            " words, where a word of the title counts ten times; then the older matches, newest first."
        ),
    ] = "created_at"
    order: Order = "desc"
    fields: SummaryFields = ()
    include: ListIncludes = ()


class Tickets(Resource):
    """The tickets that the caller may see."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List tickets",
            description="Filters with a list take several values, separated by commas or in repeated"
            " parameters. `assigned_to=none` finds unassigned tickets, `assigned_to=me` those of the key's"
            " user, `requester_id=me` those that this user requested, and `assigned_to=inactive` those whose"
            " assignee is deactivated or erased, or has lost access to the property; closed ones only if"
            " `status` says so. An id that does not exist matches nothing; a value that no ticket can have is"
            " refused. `q` searches title, description and visible comments. For a list of any length start"
            " with an empty `cursor=` and follow `links.next`. With `as_of` the list shows the tickets as"
            " they were at that moment: filters and order apply to their state then. The names of properties,"
            " units and users are current. `external_id` finds the tickets that have the ids now, also with"
            " `as_of`. With `fields` answers lack fields that the schema requires.\n\n"
            f"{ticket_csv.DESCRIPTION}",
            roles="all; guests see the tickets that they requested, others the tickets of their properties",
            scope="tickets:read",
            may_lag=True,
            query=TicketListQuery,
            answer=TicketSummary,
            answer_example=[examples.TICKET],
            other_media_types=(ticket_csv.CSV,),
            is_list=True,
            errors=("forbidden",),
        ),
        "POST": Operation(
            summary="Open a ticket",
            description="Only managers and admins may give `requester_id`; by default it is the caller."
            " `tags` are sorted and without duplicates in answers. An external id that another ticket has is"
            " refused with 409.",
            roles="all, for properties within reach; guests may give no tags and no external ids",
            scope="tickets:write",
            may_lag=True,
            body=NewTicket,
            body_example=examples.NEW_TICKET,
            answer=TicketSummary,
            answer_example=examples.OPENED_TICKET,
            has_etag=True,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query, caller = read_query(req, TicketListQuery), req.context.caller
        after = read_cursor(query, self.services.signing_key)
        wanted = to_ticket_query(query, caller, after=after, count=query.cursor is None)
        require_included(query.fields, query.include)
        if query.include and query.as_of is not None:
            raise Invalid({"include": ["The include parameter cannot be combined with as_of."]})
        if "history" in query.include:
            require_history_reader(caller)
        resp.append_header("Vary", "Accept")
        if ticket_csv.prefers_csv(req):
            ticket_csv.respond_with_csv(req, resp, wanted, query.fields, partial(self._list, caller))
            return
        page = self._list(caller, wanted)
        shown = [shown_summary(self.services, ticket) for ticket in page.items]
        page.items = [select_fields(ticket, query.fields, shown_by(query.include)) for ticket in shown]
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        values = read_values(req, NewTicket)
        context = req.context.command()
        ticket = open_ticket(self.services.store, values, context)
        resp.location = f"{self.services.settings.base_url}/v1/tickets/{ticket.id}"
        names = known_names(self.services.store, context.caller, ticket)
        respond_with_ticket(req, resp, self.services, ticket, names, status=201)

    def _list(self, caller: Caller, query: TicketQuery) -> Page[TicketSummary]:
        return list_tickets(
            self.services.read_pool, caller, query, partial(self.services.store.at_version, Ticket)
        )


def to_ticket_query(query: Any, caller: Caller, **others: Any) -> TicketQuery:
    """The query of the caller for a TicketListQuery or TicketCountQuery."""
    require_span("created_after", query.created_after, "created_before", query.created_before)
    require_span("updated_after", query.updated_after, "updated_before", query.updated_before)
    return convert_query(
        query,
        TicketQuery,
        assigned_to=_with_own_id("assigned_to", query.assigned_to, caller),
        requester_id=_with_own_id("requester_id", query.requester_id, caller),
        as_of=None if query.as_of is None else moment_of(query.as_of),
        **others,
    )


def _with_own_id(name: str, items: tuple[str, ...], caller: Caller) -> tuple[str, ...]:
    """The items of the filter, with the caller's id for `me`. Raises Invalid if there is no such user, and
    for the words that only `assigned_to` takes."""
    if name == "requester_id" and set(items) & (RESERVED_IDS - {"me"}):
        raise Invalid({name: ["The requester_id parameter takes ids of users, and `me`."]})
    if "me" not in items:
        return items
    if caller.user_id is None:
        raise Invalid({name: ["This key belongs to no user, so `me` names nobody."]})
    return tuple(caller.user_id if item == "me" else item for item in items)


class TicketItem(Resource):
    """One ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a ticket with its newest comments and its attachments",
            description="`comments` has the newest 100 comments, the oldest of them first;"
            " `comments_count` is the number of all. GET /v1/tickets/{ticket_id}/comments lists the others."
            " `allowed_statuses` are the other statuses that this key may set now; none in an earlier state."
            " Returns the current ticket or, with `as_of` or `version`, an earlier state of it. An"
            " earlier state is visible to callers who may see the ticket now, or could see it then. If the"
            " ticket is deleted now, reading an earlier state requires the scope `audit:read` and the role"
            " staff or above. Names are current. Comments and files that were removed since, and former"
            " texts of comments, are shown only to staff and above, with the scope `audit:read`. The answer"
            " is 404 for a time before the ticket was opened or while it was deleted, and for a version that"
            " does not exist. With `fields` the answer lacks fields that the schema requires.",
            roles="all who may see the ticket; guests see no internal comments",
            scope="tickets:read",
            may_lag=True,
            query=TicketItemQuery,
            answer=TicketDetail,
            answer_example=examples.TICKET_DETAIL,
            has_etag=True,
            answers_not_modified=True,
            errors=("forbidden",),
        ),
        "PATCH": Operation(
            summary="Change a ticket",
            description="Absent fields stay as they are; `null` clears `assigned_to` and `unit_id`. `tags`"
            " replaces all tags; `external_ids` changes the given sources only, and `null` removes the id of"
            " one. Every status may follow every other. A request that changes nothing is"
            " answered with 200 and creates no new version.",
            roles="staff and above; to move a ticket to another property, manager and above; guests may only"
            " close and reopen",
            scope="tickets:write",
            may_lag=True,
            body=TicketChanges,
            body_example=examples.TICKET_CHANGES,
            answer=TicketSummary,
            answer_example=examples.CHANGED_TICKET,
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
        "DELETE": Operation(
            summary="Delete a ticket",
            description="No list shows the ticket any more. Its history stays, and an admin can restore it.",
            roles="manager and above",
            scope="tickets:write",
            may_lag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        caller = req.context.caller
        try:
            query = _read_item_query(req)
        except Invalid:  # 404 comes before 422
            visible_row(self.services, caller, ticket_id, comments=0)
            raise
        if query.is_past:
            row = past_row(self.services, caller, ticket_id, query)
        else:
            row = visible_row(self.services, caller, ticket_id)
            row.detail.allowed_statuses = allowed_statuses(caller, row.detail.status)
        if "history" in query.include:
            row.detail.history = newest_history(self.services, caller, ticket_id)
            shown = self._select(row, query)
            respond_if_modified(req, resp, shown, version=row.version)
            return
        tag = etag(row.version)
        resp.etag = tag
        if row.version_can_be_etag and is_not_modified(req, tag):
            resp.status = falcon.HTTP_304
            return
        respond(resp, self._select(row, query))

    def _select(self, row: FoundTicket, query: TicketItemQuery) -> Any:
        detail = shown_detail(self.services, row)
        return select_fields(detail, query.fields, shown_by(query.include))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        values = read_values(req, TicketChanges)
        expected = expected_versions(req)
        ticket = change_ticket(self.services.store, ticket_id, values, req.context.command(), expected)
        respond_with_ticket(req, resp, self.services, ticket)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        expected = expected_versions(req)
        ticket = delete_ticket(self.services.store, ticket_id, req.context.command(), expected)
        wait_until_shown(req, resp, self.services, ticket.position)
        respond(resp, None)


class TicketRestoration(Resource):
    """Restores a deleted ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Restore a deleted ticket",
            description="A ticket that is not deleted stays as it is. A body is ignored.",
            roles="admin",
            scope="tickets:write",
            may_lag=True,
            answer=TicketSummary,
            answer_example=examples.TICKET,
            has_etag=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        ticket = restore_ticket(self.services.store, ticket_id, req.context.command())
        respond_with_ticket(req, resp, self.services, ticket)


def _read_item_query(req: falcon.Request) -> TicketItemQuery:
    query = read_moment(req, TicketItemQuery)
    require_included(query.fields, ("attachments", "comments", *query.include))
    if query.is_past and "history" in query.include:
        message = "The include parameter cannot have history together with as_of or version."
        raise Invalid({"include": [message]})
    return query


def respond_with_ticket(
    req: falcon.Request,
    resp: falcon.Response,
    services: Services,
    ticket: Ticket,
    names: Names | None = None,
    *,
    status: int = 200,
) -> None:
    """Wait until the read tables show the change, and answer with the ticket as the command saved it."""
    wait_until_shown(req, resp, services, ticket.position)
    names = names or names_of(services.pool, ticket)
    resp.etag = etag(ticket.version)
    respond(resp, ticket_summary(ticket, names), status=status)
