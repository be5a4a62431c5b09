"""Reads a ticket's history from the log: every event with its actor and its changes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from domain.changes import replaced_versions, ticket_steps
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from projections.comments import text_versions
from projections.history_entries import Present, Step, hide_removed, people_in, view_entries
from projections.ticket_filters import Order
from projections.tickets import author_names
from projections.views import HistoryEntry, Page


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a history. `after` is the `last_key` of the page before."""

    order: Order = "asc"
    limit: int = 100
    offset: int = 0
    after: tuple[str | int, str] | None = None


def ticket_history(
    pool: Pool, store: EventStore, ticket: Ticket, query: HistoryQuery, *, is_auditor: bool
) -> Page[HistoryEntry]:
    """A page of the history of a ticket up to its `version`. The ticket may be deleted.

    Only auditors see former texts of comments, removed comments, and names of removed files.
    """
    after = int(query.after[0]) if query.after else None
    if query.order == "asc":
        first = (after or 0) + 1 + query.offset
        last = min(first + query.limit - 1, ticket.version)
    else:
        last = (ticket.version if after is None else after - 1) - query.offset
        first = max(last - query.limit + 1, 1)
    steps = _steps(store, ticket, first, last, is_auditor) if first <= last else []
    if not is_auditor:
        hide_removed(steps, _present(pool, ticket, steps))
    names = author_names(pool, people_in([event for event, _ in steps]))
    entries = view_entries(steps if query.order == "asc" else steps[::-1], names)
    is_last = last >= ticket.version if query.order == "asc" else first <= 1
    last_key = (entries[-1].version, ticket.id) if entries and not is_last else None
    return Page(items=entries, total=ticket.version, last_key=last_key)


def _steps(store: EventStore, ticket: Ticket, first: int, last: int, is_auditor: bool) -> list[Step]:
    """The events of the versions `first` to `last` with their changes; for auditors with former texts."""
    events = store.read_events(ticket.id, first, last)
    texts: dict[int, str] = {}
    for version in replaced_versions(events) if is_auditor else ():
        (replaced,) = store.read_events(ticket.id, version, version)
        texts[version] = getattr(replaced, "text", "")
    before = store.at_version(Ticket, ticket.id, first - 1)
    return list(ticket_steps(events, before, texts))


def _present(pool: Pool, ticket: Ticket, steps: Iterable[Step]) -> Present:
    names = [name.split(".", 1) for _, changes in steps for name in changes if "." in name]
    versions = text_versions(pool, [member_id for kind, member_id in names if kind == "comments"])
    return Present(texts=set(versions.values()), files={file.id for file in ticket.attachments})
