"""/admin/tickets/{id}/comments: all comments, and the forms to add, edit and remove one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import falcon
from msgspec.structs import replace

from api.http.forms import Form
from api.http.sent_values import SentValues
from api.v1.ticket_rows import visible_row
from commands.comments import CommentChanges, edit_comment, remove_comment
from commands.email_addresses import hash_address
from commands.tickets import visible_ticket
from domain.errors import DomainError, Invalid, NotFound
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
from pages.panel.sent_files import FORM_BYTES, read_files
from pages.panel.ticket_actions import changes_of, run_steps
from pages.panel.ticket_page import COMPOSED, PHOTO_FIELD, TicketPage, may_take_back
from projections.choices import find_person
from projections.comments import CommentQuery, find_place, get_comment, list_comments
from projections.views import CommentView

LIST_PATH = "/admin/tickets"
FORM_PAGE = "/admin/tickets/{ticket_id}"
NOBODY = "none"
# The fields of the form, by the names that messages about a change have.
NAMES = {"status": "set_status", "assigned_to": "set_assigned_to"}
COMMENT_CHANGES = first_values(CommentChanges)


class TicketComments(TicketPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("staff", "Read all comments of a ticket"),
        "POST": replace(
            page_of("staff", "Comment on a ticket, change it and attach photos", form_page=FORM_PAGE),
            file_field=PHOTO_FIELD,
            max_body_bytes=FORM_BYTES,
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
            again = refused_form(COMPOSED, req.context.form, _named_as_in_form(refusal))
            self.show_ticket(req, resp, row, status=status_of(refusal), composed=again)
            return
        form = req.context.form
        is_change = any(form.value(name) for name in ("action", "set_status", "set_assigned_to"))
        done = "ticket-saved" if is_change else "comment-added" if form.text("text") else "file-added"
        self.go(resp, f"{LIST_PATH}/{ticket_id}", done, after=ticket)

    def _work(self, req: falcon.Request, ticket_id: str) -> Ticket:
        """Do what the form says. A form that says nothing is a comment without a text, which is refused."""
        uploads, form = read_files(req, PHOTO_FIELD), req.context.form
        caller = self.command(req).caller
        ticket = visible_ticket(self.services.store, caller, ticket_id)
        changes = self._chosen(form)
        if action := form.value("action"):
            changes = changes_of(action, ticket, caller, changes)
        comment = None
        if form.text("text") or not (changes or uploads):
            comment = {"text": form.prose("text"), "visibility": form.value("visibility")}
        return run_steps(self.services, req, ticket, changes=changes, comment=comment, uploads=uploads)

    def _chosen(self, form: Form) -> dict[str, Any]:
        """The fields of TicketChanges that the lists of the form set."""
        changes: dict[str, Any] = {}
        if status := form.text("set_status"):
            changes["status"] = status
        if person := form.text("set_assigned_to"):
            address_hmac = hash_address(self.services.store, person)
            found = find_person(self.services.pool, person, address_hmac) or person
            changes["assigned_to"] = None if person == NOBODY else found
        return changes


def _named_as_in_form(refusal: DomainError) -> DomainError:
    """The refusal with the names of the form's fields."""
    if isinstance(refusal, Invalid):
        return Invalid({NAMES.get(name, name): messages for name, messages in refusal.details.items()})
    return refusal


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
