"""Folds tickets from the log, to get their state at each version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import NamedTuple

from domain.aggregate import DomainEvent
from domain.ticket import Ticket, TicketOpened
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, named_queries
from webhook_dispatcher.payloads import TicketStep

MAX_CACHED = 1_024  # tickets

sql = named_queries(Path(__file__).parent / "sql" / "enqueue.sql")


class CannotFold(Exception):
    """The log lacks an event of a ticket, or contains another one."""


class Wanted(NamedTuple):
    """An event of a ticket and its position in the log."""

    position: int
    event: DomainEvent


class Histories:
    """Folds tickets, and caches the last ones, so that only newer events are read."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Ticket] = OrderedDict()

    def steps(self, conn: Connection, wanted: Iterable[Wanted]) -> list[TicketStep]:
        """Each wanted event with the ticket before and after it. Raises CannotFold."""
        by_ticket: dict[str, dict[int, Wanted]] = {}
        for each in wanted:
            by_ticket.setdefault(each.event.originator_id, {})[each.event.originator_version] = each
        histories = self._read(conn, by_ticket)
        steps = []
        for ticket_id, versions in by_ticket.items():
            steps += self._fold(ticket_id, histories.get(ticket_id, []), versions)
        return sorted(steps, key=lambda step: (step.position, step.event.originator_version))

    def _read(
        self, conn: Connection, by_ticket: dict[str, dict[int, Wanted]]
    ) -> dict[str, list[DomainEvent]]:
        """The events of each ticket after its cached version, up to the last wanted one."""
        for ticket_id, versions in by_ticket.items():
            known = self._known.get(ticket_id)
            if known is not None and known.version >= min(versions):  # an older version is wanted
                del self._known[ticket_id]
        parameters = {
            "ids": list(by_ticket),
            "after": [known.version if (known := self._known.get(each)) else 0 for each in by_ticket],
            "up_to": [max(versions) for versions in by_ticket.values()],
        }
        histories: dict[str, list[DomainEvent]] = {}
        with conn.cursor(binary=True) as cur:
            for ticket_id, state in cur.execute(sql["select_histories"], parameters):
                histories.setdefault(ticket_id, []).append(decode(state))
        return histories

    def _fold(
        self, ticket_id: str, history: list[DomainEvent], versions: dict[int, Wanted]
    ) -> list[TicketStep]:
        ticket = self._known.pop(ticket_id, None)
        if ticket is None and (not history or not isinstance(history[0], TicketOpened)):
            raise CannotFold(f"the log lacks the first event of the ticket {ticket_id}")
        steps = []
        for event in history:
            before = copy(ticket)
            ticket = Ticket.fold(ticket, [event])
            if ticket is not None and (each := versions.get(event.originator_version)) is not None:
                if each.event.event_id != event.event_id:
                    raise CannotFold(f"the log holds another event as version {event.originator_version}")
                steps.append(TicketStep(each.position, event, before, copy(ticket)))
        if len(steps) != len(versions):
            raise CannotFold(f"the log lacks a version of the ticket {ticket_id}")
        self._cache(ticket)
        return steps

    def _cache(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._known[ticket.id] = ticket
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
