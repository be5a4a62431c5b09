"""The page of one ticket, with its forms. Each form shows the page again if it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import falcon

from commands.tickets import NewComment, TicketChanges
from domain.changes import PUBLIC_NAMES
from domain.ticket import PRIORITIES, STATUSES, Ticket
from pages.common.shown_form import ShownForm, first_values
from pages.common.shown_form import Values as FormValues
from pages.panel.news import news_address
from pages.panel.openable import openable_names
from pages.panel.page import PanelPage
from pages.panel.sent_files import FILE_FIELD
from pages.panel.ticket_actions import Action, offered_actions
from pages.panel.timeline import MOST_ENTRIES, ticket_timeline
from projections.choices import Choices, assignee_choices, unit_choices
from projections.tickets import FoundTicket
from projections.views import CommentView

PHOTO_FIELD = "photos"  # of the form below the timeline, whose page also has the form with FILE_FIELD
# The form below the timeline. An empty field changes nothing.
COMPOSED: FormValues = {
    **first_values(NewComment),
    "set_status": "",
    "set_assigned_to": "",
    PHOTO_FIELD: "",
}
NEW_FILES: FormValues = {FILE_FIELD: ""}
# The fields of TicketChanges that the form of a ticket does not contain.
NOT_IN_FORM = frozenset(("title", "description", "category", "property_id", "tags", "external_ids"))


def may_take_back(req: falcon.Request) -> Callable[[CommentView], bool]:
    """A function for templates: whether the caller may edit and remove a comment."""
    caller, now = req.context.caller, datetime.now(UTC)
    return lambda comment: caller.may_take_back(comment.user.id, comment.created_at, now)


class TicketPage(PanelPage):
    """Base of the pages of one ticket."""

    def show_ticket(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: FoundTicket,
        *,
        status: int = 200,
        work: ShownForm | None = None,
        composed: ShownForm | None = None,
        attaching: ShownForm | None = None,
    ) -> None:
        """Show the ticket with its forms. `work`, `composed`, `attaching`: refused forms to show again."""
        news = news_address(row, req.context.caller)
        for attachment in row.detail.attachments:
            attachment.url = self.services.file_url(attachment.id)
        ticket = self.services.store.load(Ticket, row.detail.id)
        entries = ticket_timeline(self.services, ticket, row.detail)
        if work is None:
            work = ShownForm(work_values(ticket), version=ticket.version)
        self.show(
            req,
            resp,
            "ticket.html",
            status=status,
            ticket=row.detail,
            news=news,
            openable=openable_names(self.services.pool, req.context.caller, [row.detail]),
            version=row.version,
            statuses=STATUSES,
            priorities=PRIORITIES,
            assignees=self._assignees(req, row),
            units=unit_choices(self.services.pool, row.property_id),
            work=work,
            removable=self._removable_files(req, ticket),
            may_take_back=may_take_back(req),
            entries=entries,
            most_entries=MOST_ENTRIES,
            shown_comments=sum(entry.comment is not None for entry in entries),
            composed=composed or ShownForm(COMPOSED),
            actions=self._actions(req, row),
            attaching=attaching or ShownForm(NEW_FILES),
        )

    def _actions(self, req: falcon.Request, row: FoundTicket) -> list[Action]:
        assignee = row.detail.assigned_to
        assignee_id = None if assignee is None else assignee.id
        return offered_actions(row.detail.status, assignee_id, req.context.caller)

    def _removable_files(self, req: falcon.Request, ticket: Ticket) -> set[str]:
        """The ids of the files that the caller may remove."""
        caller, now = req.context.caller, datetime.now(UTC)
        return {
            file.id
            for file in ticket.attachments
            if caller.may_take_back(file.author_id, file.created_at, now)
        }

    def _assignees(self, req: falcon.Request, row: FoundTicket) -> Choices:
        """The people to whom the ticket may be assigned, and the current assignee."""
        found = assignee_choices(self.services.pool, req.context.caller, row.property_id)
        present = row.detail.assigned_to
        if present is not None and present not in found.items:
            found.items.insert(0, present)
        return found


def work_values(ticket: Ticket) -> FormValues:
    """The values of the form of a ticket."""
    names = {PUBLIC_NAMES.get(field, field): field for field in ticket.__struct_fields__}
    wanted = [name for name in TicketChanges.__struct_fields__ if name not in NOT_IN_FORM]
    return {name: str(getattr(ticket, names[name]) or "") for name in wanted}
