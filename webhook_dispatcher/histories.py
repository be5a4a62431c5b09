"""Folds tickets from the log, to get their state at each version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from copy import copy
from pathlib import Path
from typing import NamedTuple

from domain.aggregate import DomainEvent
from domain.comments import CommentEvent
from domain.ticket import Ticket, TicketFileAttached, TicketFileRemoved, TicketOpened
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, named_queries
from webhook_dispatcher.payloads import TicketGroup, TicketStep, is_internal

MAX_CACHED = 1_024  # tickets
LARGEST_GROUP = 32  # events of one command; a command that appends more causes several messages

sql = named_queries(Path(__file__).parent / "sql" / "enqueue.sql")


class CannotFold(Exception):
    """The log lacks an event of a ticket, or contains another one."""


class Wanted(NamedTuple):
    """An event of a ticket and its position in the log."""

    position: int
    event: DomainEvent


class LoggedEvent(NamedTuple):
    """An event and its position in the log."""

    position: int
    event: DomainEvent


class _Known(NamedTuple):
    """A cached ticket after the last event of a command, and its number."""

    ticket: Ticket | None
    number: int

    @property
    def version(self) -> int:
        return self.ticket.version if self.ticket else 0


class Histories:
    """Folds tickets, and caches the last ones, so that only newer events are read.

    Events that one command appended to a ticket are in one commit, so the log has all or none.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def groups(self, conn: Connection, wanted: Iterable[Wanted]) -> list[TicketGroup]:
        """The groups that contain the wanted events, in the order of the log. Raises CannotFold."""
        by_ticket: dict[str, dict[int, Wanted]] = {}
        for each in wanted:
            by_ticket.setdefault(each.event.originator_id, {})[each.event.originator_version] = each
        histories = self._read(conn, by_ticket)
        groups = []
        for ticket_id, versions in by_ticket.items():
            groups += self._fold(ticket_id, histories.get(ticket_id, []), versions)
        return sorted(groups, key=lambda group: (group.steps[0].position, group.steps[0].after.version))

    def _read(
        self, conn: Connection, by_ticket: dict[str, dict[int, Wanted]]
    ) -> dict[str, list[LoggedEvent]]:
        """The events of each ticket after its cached version, up to the end of the last wanted group."""
        for ticket_id, versions in by_ticket.items():
            known = self._known.get(ticket_id)
            if known is not None and known.version >= min(versions):  # an older version is wanted
                del self._known[ticket_id]
        parameters = {
            "ids": list(by_ticket),
            "after": [known.version if (known := self._known.get(each)) else 0 for each in by_ticket],
            "up_to": [max(versions) + LARGEST_GROUP - 1 for versions in by_ticket.values()],
        }
        histories: dict[str, list[LoggedEvent]] = {}
        with conn.cursor(binary=True) as cur:
            for ticket_id, position, state in cur.execute(sql["select_histories"], parameters):
                histories.setdefault(ticket_id, []).append(LoggedEvent(position, decode(state)))
        return histories

    def _fold(
        self, ticket_id: str, history: list[LoggedEvent], versions: dict[int, Wanted]
    ) -> list[TicketGroup]:
        known = self._known.pop(ticket_id, None)
        if known is None:
            if not history or not isinstance(history[0].event, TicketOpened):
                raise CannotFold(f"the log lacks the first event of the ticket {ticket_id}")
            known = _Known(None, history[0].position)
        ticket, last, found = known.ticket, max(versions), 0
        groups: list[TicketGroup] = []
        steps: list[TicketStep] = []
        for position, event in history:
            if steps and not _is_one_command(steps[-1].event, event):
                if event.originator_version > last:
                    break
                _add_wanted(groups, steps, versions, known.number)
                steps = []
            before = copy(ticket)
            ticket = Ticket.fold(ticket, [event])
            if (each := versions.get(event.originator_version)) is not None:
                if each.event.event_id != event.event_id:
                    raise CannotFold(f"the log holds another event as version {event.originator_version}")
                found += 1
            if ticket is not None:
                steps.append(TicketStep(position, event, before, copy(ticket)))
        if found != len(versions):
            raise CannotFold(f"the log lacks a version of the ticket {ticket_id}")
        _add_wanted(groups, steps, versions, known.number)
        self._cache(_Known(ticket, known.number))
        return groups

    def _cache(self, known: _Known) -> None:
        if known.ticket is not None:
            self._known[known.ticket.id] = known
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)


def _is_one_command(event: DomainEvent, following: DomainEvent) -> bool:
    return event.causation_id == following.causation_id


def _add_wanted(
    groups: list[TicketGroup], steps: list[TicketStep], versions: Container[int], number: int
) -> None:
    """Add the groups of the steps of one command that contain a wanted version."""
    for part in _split(steps):
        if any(step.event.originator_version in versions for step in part):
            groups.append(TicketGroup(part, number))


def _split(steps: list[TicketStep]) -> Iterator[list[TicketStep]]:
    """The steps of one command, such that no part has two comments or two files, an internal comment and
    something else, or two properties: a message is about one comment or file at most, and for the same
    readers."""
    part: list[TicketStep] = []
    for step in steps:
        if part and (
            (_has_own_part(step) and any(_has_own_part(each) for each in part))
            or is_internal(step.event) != is_internal(part[0].event)
            or step.after.property_id != part[0].after.property_id
        ):
            yield part
            part = []
        part.append(step)
    if part:
        yield part


def _has_own_part(step: TicketStep) -> bool:
    return isinstance(step.event, CommentEvent | TicketFileAttached | TicketFileRemoved)
