"""/admin/tickets/{id}/comments: all comments, and the forms to add, edit and remove one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

import falcon

from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.comments import CommentChanges, edit_comment, remove_comment
from commands.several import Command, run_all
from commands.tickets import NewComment, comment_on_ticket, visible_ticket
from domain.errors import NotFound
from domain.ticket import Ticket
from infrastructure.storage.comment_log import CommentPlace
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, first_values
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    page_of,
    pages_of,
    read_filters,
    refused_form,
    status_of,
)
from pages.panel.ticket_actions import change_step, changes_of, comment_step
from pages.panel.tickets import NEW_COMMENT, TicketPage, may_take_back
from projections.comments import CommentQuery, find_place, get_comment, list_comments
from projections.views import CommentView

FORM_PAGE = "/admin/tickets/{ticket_id}"
COMMENT_CHANGES = first_values(CommentChanges)


class TicketComments(TicketPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Read all comments of a ticket"),
        "POST": page_of(
            "staff", "Comment on a ticket, or do its next step", form_page="/admin/tickets/{ticket_id}"
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        filters = read_filters(req, ListQuery)
        row = visible_row(self.services, req.context.caller, ticket_id, comments=0)
        query = CommentQuery(include_internal=True, limit=filters.limit, offset=filters.offset)
        self.show(
            req,
            resp,
            "ticket_comments.html",
            ticket=row.detail,
            comments=list_comments(self.services.pool, ticket_id, query).items,
            may_take_back=may_take_back(req),
            pages=pages_of(req, filters, row.detail.comments_count),
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        try:
            ticket = self._work(req, ticket_id)
        except REFUSALS as refusal:
            row = visible_row(self.services, req.context.caller, ticket_id)
            again = refused_form(NEW_COMMENT, req.context.form, refusal)
            self.show_ticket(req, resp, row, status=status_of(refusal), comment=again)
            return
        done = "ticket-saved" if req.context.form.value("action") else "comment-added"
        self.go(resp, f"/admin/tickets/{ticket_id}", done, after=ticket)

    def _work(self, req: falcon.Request, ticket_id: str) -> Ticket:
        """Comment, or do what one of the other buttons says; with a text, that and the comment in one
        commit."""
        form, store, context = req.context.form, self.services.store, self.command(req)
        given = {"text": form.prose("text"), "visibility": form.value("visibility")}
        if not form.value("action"):
            return comment_on_ticket(store, ticket_id, SentValues(given, NewComment), context)
        ticket = visible_ticket(store, context.caller, ticket_id)
        changes = changes_of(form.value("action"), ticket, context.caller)
        commands: list[Command] = [partial(change_step, ticket_id, changes, req.context.command(0))]
        if form.text("text"):
            commands.append(partial(comment_step, ticket_id, given, req.context.command(1)))
        return run_all(store, commands)


class CommentPage(PanelPage):
    """Base of the pages of one comment."""

    def place(self, ticket_id: str, comment_id: str) -> CommentPlace:
        return find_place(self.services.pool, ticket_id, comment_id)

    def own_comment(self, req: falcon.Request, ticket_id: str, comment_id: str) -> CommentView:
        """The comment. Raises NotFound or Forbidden unless the caller may edit and remove it."""
        caller = req.context.caller
        visible_ticket(self.services.store, caller, ticket_id)
        comment = get_comment(self.services.pool, ticket_id, comment_id)
        if comment is None:
            raise NotFound("comment")
        caller.require_may_take_back(comment.user.id, comment.created_at, datetime.now(UTC), "comment")
        return comment


class CommentEditing(CommentPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Write a new text of a comment"),
        "POST": page_of("staff", "Edit a comment"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        comment = self.own_comment(req, ticket_id, comment_id)
        form = ShownForm({**COMMENT_CHANGES, "text": comment.text})
        self.show(req, resp, "comment_edit.html", form=form, ticket_id=ticket_id)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        values = SentValues({"text": req.context.form.prose("text")}, CommentChanges)
        try:
            ticket = edit_comment(
                self.services.store,
                ticket_id,
                comment_id,
                values,
                self.command(req),
                locate=lambda: self.place(ticket_id, comment_id),
            )
        except REFUSALS as refusal:
            self.show_refused(req, resp, "comment_edit.html", COMMENT_CHANGES, refusal, ticket_id=ticket_id)
            return
        self.go(resp, f"/admin/tickets/{ticket_id}", "comment-edited", after=ticket)


class CommentRemoval(CommentPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Ask before a comment is removed"),
        "POST": page_of("staff", "Remove a comment"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        comment = self.own_comment(req, ticket_id, comment_id)
        self.ask(
            req,
            resp,
            title="Remove this comment?",
            name=comment.text[:200],
            consequence="Only auditors can read it afterwards, in the history.",
            action="Remove comment",
            back=f"/admin/tickets/{ticket_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket_id: str, comment_id: str) -> None:
        ticket = remove_comment(
            self.services.store,
            ticket_id,
            comment_id,
            self.command(req),
            locate=lambda: self.place(ticket_id, comment_id),
        )
        self.go(resp, f"/admin/tickets/{ticket_id}", "comment-removed", after=ticket)
