"""/v1/tickets/{id}/comments."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.bodies import read_values, respond
from api.http.paging import PageQuery, respond_with_page
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from api.v1.ticket_rows import visible_row
from commands.tickets import NewComment, comment_on_ticket
from domain.times import whole_seconds
from projections.tickets import list_comments
from projections.views import CommentView, Reference


class Comments(Resource):
    """Lists and adds the comments of a ticket."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the comments of a ticket, oldest first",
            roles="all who may see the ticket; guests see no internal comments",
            scope="tickets:read",
            query=PageQuery,
            answer=CommentView,
            answer_example=[examples.COMMENT],
            is_list=True,
        ),
        "POST": Operation(
            summary="Comment on a ticket",
            roles="all who may see the ticket; internal comments: staff and above",
            scope="tickets:write",
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
        visible_row(self.services, caller, ticket_id)
        query = read_query(req, PageQuery)
        page = list_comments(
            self.services.pool,
            ticket_id,
            include_internal=caller.role != "guest",
            limit=query.limit,
            offset=query.offset,
        )
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        values = read_values(req, NewComment)
        context = req.context.command()
        ticket = comment_on_ticket(self.services.store, ticket_id, values, context)
        self.services.visibility.wait_for(ticket.position)
        comment = ticket.comments[-1]
        view = CommentView(
            id=comment.id,
            text=comment.text,
            user=Reference(context.caller.principal_id, context.caller.name),
            visibility=comment.visibility,
            created_at=whole_seconds(comment.created_at),
        )
        resp.location = f"{self.services.settings.base_url}/v1/tickets/{ticket_id}/comments"
        respond(resp, view, status=201)
