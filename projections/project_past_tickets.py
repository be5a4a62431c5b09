"""Fills the tables `past_tickets` and `past_texts`: the state of tickets before each event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path

from domain.aggregate import DomainEvent
from domain.ticket import PRIORITIES, Ticket, TicketDescriptionChanged, TicketTitleChanged
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import insert_rows, kinds_of, require_versions, write_rows
from projections.rows import PastTextRow, PastTicketRow, columns_of, compose, shared_fields

REWORDING = kinds_of(TicketTitleChanged | TicketDescriptionChanged)
LONGEST_BITS = 32  # of `duration_bits`; also of all longer durations
_SECOND = timedelta(seconds=1)
PRIORITY_RANK = {priority: rank for rank, priority in enumerate(PRIORITIES, start=1)}
# Every event writes a row, so the values are copied by position, which is faster.
_NULLABLE = ("tags", "external_ids")
_copied_values = attrgetter(*(n for n in shared_fields(Ticket, PastTicketRow) if n not in _NULLABLE))
_sql = {
    name: compose(statement, tickets=columns_of(PastTicketRow), texts=columns_of(PastTextRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_past_tickets.sql").items()
}


class PastTickets:
    """Folds tickets one event at a time, and collects the state that each event ended.

    `tickets` are rows for `past_tickets`; a state that ended at the time when it began has no row. `spans`
    contains the first and the last collected version of each ticket. `texts` are rows for `past_texts`.
    """

    def __init__(self) -> None:
        self.tickets: list[PastTicketRow] = []
        self.spans: dict[str, tuple[int, int]] = {}
        self.texts: list[PastTextRow] = []

    def advance(self, ticket: Ticket | None, events: Sequence[DomainEvent]) -> Ticket:
        """The ticket after the events, as projections.folding.fold returns it.

        The title and description of `ticket` are needed only when an event changes one of them.
        """
        require_versions(Ticket, ticket, events)
        for event in events:
            if ticket is not None:
                self._collect(ticket, event)
            ticket = Ticket.fold(ticket, (event,))
        if ticket is None:
            raise ValueError("no events to fold")
        first, _ = self.spans.get(ticket.id, (events[0].originator_version - 1, 0))
        self.spans[ticket.id] = first, ticket.version - 1
        return ticket

    def write_tickets(self, conn: Connection) -> None:
        insert_rows(conn, "past_tickets", _sql["insert_past_tickets"], self.tickets)

    def write_texts(self, conn: Connection) -> None:
        write_rows(conn, _sql["insert_past_texts"], self.texts)

    def _collect(self, ticket: Ticket, event: DomainEvent) -> None:
        if ticket.updated_at != event.occurred_at:
            self.tickets.append(_ticket_row(ticket, event.occurred_at))
        if type(event) in REWORDING:
            self.texts.append(PastTextRow(ticket.id, event.occurred_at, ticket.title, ticket.description))


def _ticket_row(ticket: Ticket, ended_at: datetime) -> PastTicketRow:
    values = _copied_values(ticket)
    bits = duration_bits(ended_at - (ticket.updated_at or ended_at))
    lists = list(ticket.tags) or None, ticket.external_ids or None
    return PastTicketRow(ticket.id, PRIORITY_RANK[ticket.priority], bits, ended_at, *lists, *values)


def duration_bits(duration: timedelta) -> int:
    """The number of binary digits of the duration in whole seconds, at most LONGEST_BITS."""
    return min((duration // _SECOND).bit_length(), LONGEST_BITS)
