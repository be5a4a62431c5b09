"""Several commands in one request: independent of each other, or all or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from commands.deciding import MAX_DECISIONS, TOO_MANY_CHANGES
from domain.errors import Conflict, DomainError
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.recorder import OutOfDate, RowExists
from infrastructure.storage.staged_store import StagedStore

Command = Callable[[EventStore], Ticket]


class Outcomes(NamedTuple):
    """The outcome of each command, in order, and the highest position of their events."""

    results: list[Ticket | DomainError]
    position: int

    @property
    def refused(self) -> int | None:
        """The index of the first command that was refused, or None."""
        return next((at for at, one in enumerate(self.results) if isinstance(one, DomainError)), None)


def run_commands(store: EventStore, commands: Sequence[Command], *, is_atomic: bool) -> Outcomes:
    """Run the commands in order and append their events in one commit.

    A refused command does not affect the others unless `is_atomic`: then nothing is stored. If other requests
    change the same tickets again and again, the commands are run one by one, each with its own commit, or
    Conflict is raised if `is_atomic`.
    """
    for _ in range(MAX_DECISIONS):
        staged = StagedStore(store)
        outcomes = _run(staged, commands)
        if is_atomic and outcomes.refused is not None:
            return outcomes
        try:
            return outcomes._replace(position=max(staged.commit(), outcomes.position))
        except (VersionConflict, OutOfDate, RowExists):
            continue
    if is_atomic:
        raise Conflict(TOO_MANY_CHANGES)
    return _run(store, commands)


def run_all(store: EventStore, commands: Sequence[Command]) -> Ticket:
    """Run the commands in order, all or none, and return the ticket of the last one, with the position of the
    commit. Raises the error of a refused one."""
    outcomes = run_commands(store, commands, is_atomic=True)
    for result in outcomes.results:
        if isinstance(result, DomainError):
            raise result
    ticket = cast(Ticket, outcomes.results[-1])
    ticket.position = max(ticket.position, outcomes.position)
    return ticket


def _run(store: EventStore, commands: Sequence[Command]) -> Outcomes:
    results: list[Ticket | DomainError] = []
    for command in commands:
        try:
            results.append(command(store))
        except DomainError as refusal:
            results.append(refusal)
    tickets = [one for one in results if isinstance(one, Ticket)]
    return Outcomes(results, max((ticket.position for ticket in tickets), default=0))
