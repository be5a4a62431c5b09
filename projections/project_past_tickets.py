"""Fills the tables `past_tickets` and `past_texts`: what tickets were before each event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.ticket import PRIORITIES, Ticket, TicketDescriptionChanged, TicketTitleChanged
from infrastructure.postgres import Connection, named_queries
from projections.folding import fold, write_rows

PRIORITY_RANK = {priority: rank for rank, priority in enumerate(PRIORITIES, start=1)}
_sql = named_queries(Path(__file__).parent / "sql" / "project_past_tickets.sql")


class PastStates:
    """Folds tickets one event at a time and keeps what each event put an end to."""

    def __init__(self) -> None:
        self._tickets: list[dict[str, Any]] = []
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
        return ticket

    def write(self, conn: Connection) -> None:
        write_rows(conn, _sql["insert_past_tickets"], self._tickets)
        write_rows(conn, _sql["insert_past_texts"], self._texts)

    def _keep(self, ticket: Ticket, event: DomainEvent) -> None:
        if ticket.updated_at != event.occurred_at:
            self._tickets.append(_ticket_row(ticket, event))
        if isinstance(event, TicketTitleChanged | TicketDescriptionChanged):
            self._texts.append(
                {
                    "ticket_id": ticket.id,
                    "ended_at": event.occurred_at,
                    "title": ticket.title,
                    "description": ticket.description,
                }
            )


def _ticket_row(ticket: Ticket, event: DomainEvent) -> dict[str, Any]:
    return {
        "ticket_id": ticket.id,
        "version": ticket.version,
        "status": ticket.status,
        "priority": ticket.priority,
        "priority_rank": PRIORITY_RANK[ticket.priority],
        "category": ticket.category,
        "property_id": ticket.property_id,
        "unit_id": ticket.unit_id,
        "requester_id": ticket.requester_id,
        "assignee_id": ticket.assignee_id,
        "is_deleted": ticket.is_deleted,
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at,
        "ended_at": event.occurred_at,
    }
