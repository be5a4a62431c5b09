"""/admin/tickets/{id}/history: every change with before and after, and the ticket at any version."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import falcon
import msgspec
from msgspec import UNSET, Meta

from api.http.moments import moment_of
from api.v1.past_tickets import MomentQuery, past_row
from api.v1.ticket_rows import readable_ticket
from domain.changes import Change
from domain.errors import Details, Invalid, NotFound
from domain.ticket import Ticket
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm
from pages.panel.history_names import names_in, who
from pages.panel.page import ListQuery, PanelPage, page_of, pages_of, read_filters
from projections.history import HistoryQuery, ticket_history
from projections.views import HistoryEntry, TicketDetail

_ACTIONS = {
    "ticket.opened": "opened the ticket",
    "ticket.resolved": "closed the ticket",
    "ticket.reopened": "reopened the ticket",
    "ticket.assigned": "assigned the ticket",
    "ticket.unassigned": "unassigned the ticket",
    "ticket.moved": "moved the ticket",
    "ticket.commented": "commented",
    "ticket.file_attached": "attached a file",
    "ticket.comment_edited": "edited a comment",
    "ticket.comment_removed": "removed a comment",
    "ticket.file_removed": "removed a file",
    "ticket.deleted": "deleted the ticket",
    "ticket.restored": "restored the ticket",
}
_AUTH = {
    "api_key": "with an API key",
    "oauth": "through an application",
    "session": "in the admin panel",
    "cli": "on the command line",
    "system": "by the system",
}


class HistoryFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of the ticket to show next to the timeline: at `version`, or at the time `as_of` in UTC."""

    version: Annotated[int, Meta(ge=1)] | None = None
    as_of: Annotated[str, Meta(max_length=40)] = ""


class ShownChange(msgspec.Struct, frozen=True):
    """The change of one field in words; None for no value."""

    label: str
    before: str | None
    after: str | None


class ShownEntry(msgspec.Struct, frozen=True):
    entry: HistoryEntry
    who: str
    did: str
    how: str
    changes: list[ShownChange]
    imported: str | None


class TicketHistoryPage(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("staff", "Read the history of a ticket")}

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        filters = read_filters(req, HistoryFilters)
        caller, pool = req.context.caller, self.services.pool
        ticket = readable_ticket(self.services.store, caller, ticket_id)
        query = HistoryQuery(order="desc", limit=filters.limit, offset=filters.offset)
        page = ticket_history(pool, self.services.store, ticket, query, is_auditor=caller.is_auditor)
        moment, errors = _read_moment(filters.as_of)
        version = self._version(ticket, filters, moment)
        self.show(
            req,
            resp,
            "ticket_history.html",
            status=422 if errors else 200,
            ticket=ticket,
            entries=_shown_entries(page.items, names_in(self.services, ticket, page.items)),
            pages=pages_of(req, filters, page.total),
            version=version,
            past=self._past(req, ticket_id, version) if version else None,
            form=ShownForm({"as_of": filters.as_of}, errors=errors),
            moment=moment,
        )

    def _version(self, ticket: Ticket, filters: HistoryFilters, moment: datetime | None) -> int:
        """The version to show; 0 if the ticket did not exist at that moment."""
        if moment is not None:
            return self.services.store.version_at(ticket.id, moment, ticket.version)
        return filters.version or ticket.version

    def _past(self, req: falcon.Request, ticket_id: str, version: int) -> TicketDetail | None:
        """The ticket as it was at that version; None if it was deleted then."""
        try:
            row = past_row(self.services, req.context.caller, ticket_id, MomentQuery(version=version))
        except NotFound:
            return None
        return row.detail


def _read_moment(text: str) -> tuple[datetime | None, Details]:
    """The last moment that a time in UTC includes, and the problem of the field."""
    if not text:
        return None, {}
    try:
        at = datetime.fromisoformat(text)
        return moment_of(at if at.tzinfo else at.replace(tzinfo=UTC)), {}
    except ValueError:
        return None, {"as_of": ["Enter a date and a time such as 2030-01-31T15:30."]}
    except Invalid:
        return None, {"as_of": ["This time lies in the future."]}


def _shown_entries(entries: Iterable[HistoryEntry], names: dict[str, str]) -> list[ShownEntry]:
    return [
        ShownEntry(
            entry=entry,
            who=who(entry.actor, entry.auth),
            did=_action(entry.action),
            how=_AUTH[entry.auth.kind],
            changes=[
                _change(field, change, names)
                for field, change in entry.changes.items()
                if entry.version > 1 or change.after
            ],
            imported=_imported(entry),
        )
        for entry in entries
    ]


def _imported(entry: HistoryEntry) -> str | None:
    """Who imported the event, in words; None if it was not imported."""
    if entry.imported is UNSET:
        return None
    return f"Imported from {entry.imported.source} by {who(entry.imported.by, entry.imported.auth)}"


def _action(event_type: str) -> str:
    """The action in words: `ticket.title_changed` is "changed the title"."""
    if event_type in _ACTIONS:
        return _ACTIONS[event_type]
    what = event_type.removeprefix("ticket.").removesuffix("_changed").replace("_", " ")
    return f"changed the {what}"


def _label(field: str) -> str:
    """The name of a field as people read it: `property_id` is "Property"."""
    if field == "assigned_to":
        return "Assignee"
    return field.removesuffix("_id").replace("_", " ").capitalize()


def _change(field: str, change: Change, names: dict[str, str]) -> ShownChange:
    kind, _, member_id = field.partition(".")
    if member_id:
        label = "Comment" if kind == "comments" else "File"
        return ShownChange(label, _member(change.before), _member(change.after))
    return ShownChange(_label(field), _value(change.before, names), _value(change.after, names))


def _member(value: Any) -> str | None:
    """The text of a comment, marked if it is internal, or the name of a file."""
    if value is None:
        return None
    if "filename" in value:
        return str(value["filename"] or "removed")
    text = "removed or edited" if value["text"] is None else str(value["text"])
    return f"{text} (internal)" if value["visibility"] == "internal" else text


def _value(value: Any, names: dict[str, str]) -> str | None:
    if value is None or isinstance(value, bool):
        return None if value is None else "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{source}: {external_id}" for source, external_id in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(value) or None
    text = str(value)
    return names.get(text, text.replace("_", " ") if text == "in_progress" else text)
