"""Fills the tables `past_tickets` and `past_texts`: what tickets were before each event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.ticket import PRIORITIES, Ticket, TicketDescriptionChanged, TicketTitleChanged
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import fold, write_rows

COLUMNS = (
    *("ticket_id", "version", "status", "priority", "priority_rank", "category", "property_id", "unit_id"),
    *("requester_id", "assignee_id", "is_deleted", "created_at", "updated_at", "ended_at"),
)  # of the table past_tickets, which has no others
PRIORITY_RANK = {priority: rank for rank, priority in enumerate(PRIORITIES, start=1)}
_sql = named_queries(Path(__file__).parent / "sql" / "project_past_tickets.sql")


class PastTickets:
    """Folds tickets one event at a time and keeps what each event put an end to.

    `tickets` are rows of the table, in the order of COLUMNS. `spans` tells for each ticket from which of its
    versions to which there is a row here, if that version lasted at all.
    """

    def __init__(self) -> None:
        self.tickets: list[tuple[Any, ...]] = []
        self.spans: dict[str, tuple[int, int]] = {}
        self._texts: list[dict[str, Any]] = []

    def fold(self, ticket: Ticket | None, events: Sequence[DomainEvent]) -> Ticket:
        """As projections.folding.fold. The title and description of `ticket` are needed only when an event
        changes one of them."""
        for event in events:
            if ticket is not None:
                self._keep(ticket, event)
            ticket = fold(Ticket, ticket, [event])
        if ticket is None:
            raise ValueError("no events to fold")
        first, _ = self.spans.get(ticket.id, (events[0].originator_version - 1, 0))
        self.spans[ticket.id] = first, ticket.version - 1
        return ticket

    def write_tickets(self, conn: Connection) -> None:
        write_rows(
            conn, _sql["insert_past_tickets"], [dict(zip(COLUMNS, row, strict=True)) for row in self.tickets]
        )

    def write_texts(self, conn: Connection) -> None:
        write_rows(conn, _sql["insert_past_texts"], self._texts)

    def _keep(self, ticket: Ticket, event: DomainEvent) -> None:
        if ticket.updated_at != event.occurred_at:
            self.tickets.append(_ticket_row(ticket, event))
        if isinstance(event, TicketTitleChanged | TicketDescriptionChanged):
            self._texts.append(
                {
                    "ticket_id": ticket.id,
                    "ended_at": event.occurred_at,
                    "title": ticket.title,
                    "description": ticket.description,
                }
            )


def _ticket_row(ticket: Ticket, event: DomainEvent) -> tuple[Any, ...]:
    return (
        ticket.id,
        ticket.version,
        ticket.status,
        ticket.priority,
        PRIORITY_RANK[ticket.priority],
        ticket.category,
        ticket.property_id,
        ticket.unit_id,
        ticket.requester_id,
        ticket.assignee_id,
        ticket.is_deleted,
        ticket.created_at,
        ticket.updated_at,
        event.occurred_at,
    )
