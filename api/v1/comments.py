"""/v1/tickets/{id}/comments."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.bodies import read_values, respond
from api.http.etags import etag, expected_versions
from api.http.paging import ListQuery, read_cursor, respond_with_page
from api.http.pending_changes import wait_until_shown
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from api.v1.shapes import comment_view, own_comment
from api.v1.ticket_rows import visible_row
from commands.comments import CommentChanges, edit_comment, remove_comment
from commands.tickets import NewComment, comment_on_ticket
from domain.errors import NotFound
from domain.ticket import Ticket
from infrastructure.storage.comment_log import CommentPlace, find_comment
from projections.comments import CommentQuery, find_place, get_comment, list_comments
from projections.tickets import author_names
from projections.views import CommentView

TAKING_BACK = "the author within an hour of writing it; manager and above at any time"


class CommentListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The oldest comment comes first."""


class Comments(Resource):
    """Lists and adds the comments of a ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the comments of a ticket, oldest first",
            description="For a list of any length start with an empty `cursor=` and follow `links.next`.",
            roles="all who may see the ticket; guests see no internal comments",
            scope="tickets:read",
            may_lag=True,
            query=CommentListQuery,
            answer=CommentView,
            answer_example=[examples.COMMENT],
            is_list=True,
        ),
        "POST": Operation(
            summary="Comment on a ticket",
            roles="all who may see the ticket; internal comments: staff and above",
            scope="tickets:write",
            may_lag=True,
            body=NewComment,
            body_example=examples.NEW_COMMENT,
            answer=CommentView,
            answer_example=examples.COMMENT,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        caller = req.context.caller
        row = visible_row(self.services, caller, ticket_id, comments=0)
        query = read_query(req, CommentListQuery)
        wanted = CommentQuery(
            include_internal=caller.role != "guest",
            limit=query.limit,
            offset=query.offset,
            after=read_cursor(query, self.services.signing_key),
        )
        page = list_comments(self.services.read_pool, ticket_id, wanted)
        page.total = row.detail.comments_count
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        values = read_values(req, NewComment)
        context = req.context.command()
        ticket = comment_on_ticket(self.services.store, ticket_id, values, context)
        wait_until_shown(req, resp, self.services, ticket.position)
        resp.location = f"{self.services.settings.base_url}/v1/tickets/{ticket_id}/comments"
        respond(resp, own_comment(values.read(), ticket, context), status=201)


class CommentItem(Resource):
    """One comment."""

    operations: ClassVar[dict[str, Operation]] = {
        "PATCH": Operation(
            summary="Edit a comment",
            description="Replaces the text. The former text stays in the history, for auditors. The version"
            " in `If-Match` and `ETag` is that of the ticket.",
            roles=TAKING_BACK,
            scope="tickets:write",
            may_lag=True,
            body=CommentChanges,
            body_example=examples.COMMENT_CHANGES,
            answer=CommentView,
            answer_example=examples.EDITED_COMMENT,
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
        "DELETE": Operation(
            summary="Remove a comment",
            description="Only auditors can read the comment afterwards, in the history. The version"
            " in `If-Match` is that of the ticket.",
            roles=TAKING_BACK,
            scope="tickets:write",
            may_lag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        values = read_values(req, CommentChanges)
        ticket = edit_comment(
            self.services.store,
            ticket_id,
            comment_id,
            values,
            req.context.command(),
            locate=lambda: self._place(ticket_id, comment_id),
            expected_versions=expected_versions(req),
        )
        wait_until_shown(req, resp, self.services, ticket.position)
        resp.etag = etag(ticket.version)
        respond(resp, self._view(ticket, comment_id))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        ticket = remove_comment(
            self.services.store,
            ticket_id,
            comment_id,
            req.context.command(),
            locate=lambda: self._place(ticket_id, comment_id),
            expected_versions=expected_versions(req),
        )
        wait_until_shown(req, resp, self.services, ticket.position)
        respond(resp, None)

    def _place(self, ticket_id: str, comment_id: str) -> CommentPlace:
        return find_place(self.services.pool, ticket_id, comment_id)

    def _view(self, ticket: Ticket, comment_id: str) -> CommentView:
        """The comment after the command, from the log: the read tables may lag behind."""
        place = self._place(ticket.id, comment_id)
        if place.read_version >= ticket.version:
            view = get_comment(self.services.pool, ticket.id, comment_id)
        else:
            view = self._view_in_log(ticket, comment_id, place)
        if view is None:  # another request has removed it meanwhile
            raise NotFound("comment")
        return view

    def _view_in_log(self, ticket: Ticket, comment_id: str, place: CommentPlace) -> CommentView | None:
        comment = find_comment(self.services.store, ticket, comment_id, place)
        if comment is None:
            return None
        return comment_view(comment, author_names(self.services.pool, [comment.author_id]))
