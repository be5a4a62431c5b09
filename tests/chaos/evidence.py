"""Collects what the checker compares: of one window of the run, or of the whole run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.aggregate import DomainEvent
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection
from tests.chaos.api import Api
from tests.chaos.followers import digest
from tests.chaos.history_checker import Logged
from tests.chaos.load import BULK_CATEGORY
from tests.chaos.operations import Operation
from tests.support.read_tables import OF_A_TICKET, Rows, rows_of

MOST_BULK_TICKETS = 50_000  # whose rows are compared one by one; a window has fewer
_LOG = """
    SELECT notification_id, originator_id, originator_version, state FROM es.stored_events
     WHERE topic LIKE 'ticket.%%' AND notification_id > %s AND notification_id <= %s ORDER BY notification_id
"""


class Log:
    """The events of tickets after one position of the log up to another, and the rows computed from them.

    Of the tickets of bulk requests, rows are computed for the first MOST_BULK_TICKETS, so that the memory is
    enough for a long run.
    """

    def __init__(self, conn: Connection, after: int, up_to: int) -> None:
        self.events: list[Logged] = []
        self.not_posted: set[str] = set()
        self._log: list[tuple[int, DomainEvent]] = []
        for position, ticket_id, version, state in conn.execute(_LOG, [after, up_to]):
            event = decode(state)
            self.events.append(
                Logged(position, event.event_id, ticket_id, version, _marker_of(event), digest(bytes(state)))
            )
            if getattr(event, "category", "") == BULK_CATEGORY:
                self.not_posted.add(ticket_id)
            if ticket_id not in self.not_posted or len(self.not_posted) <= MOST_BULK_TICKETS:
                self._log.append((position, event))

    @property
    def folded_ids(self) -> list[str]:
        """The tickets whose rows are computed."""
        return list({event.originator_id for _, event in self._log})

    def folded(self) -> Rows:
        return {table: rows for table, rows in rows_of(self._log).items() if table in OF_A_TICKET}


def _marker_of(event: Any) -> str:
    for name in ("text", "title", "filename"):
        if hasattr(event, name):
            return str(getattr(event, name))
    return f"an unexpected {type(event).__name__}"


def read_files(api: Api, operations: Iterable[Operation]) -> dict[str, bytes | None]:
    """The digests of the files of all tickets to which files were uploaded, by name; None for one that cannot
    be downloaded."""
    tickets = {one.ticket_id for one in operations if one.kind == "upload" and one.outcome == "ok"}
    found: dict[str, bytes | None] = {}
    for ticket_id in tickets:
        listed = api.get_in_time(f"/v1/tickets/{ticket_id}/attachments")
        for file in listed["data"] if listed is not None else []:
            content = api.download_in_time(file["url"])
            found[file["filename"]] = None if content is None else digest(content)
    return found
