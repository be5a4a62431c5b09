"""Load, guard, decide, save: the steps that commands have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg

from domain.access import Context
from domain.aggregate import Aggregate
from domain.errors import Conflict
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.postgres import Statement
from infrastructure.storage.recorder import OutOfDate
from infrastructure.storage.snapshots import Snapshot

A = TypeVar("A", bound=Aggregate)

MAX_DECISIONS = 3  # of one command, while other commands change the same aggregate
TOO_MANY_CHANGES = "Other requests are changing this at the same time, so nothing was changed. Try again."


class Change(NamedTuple):
    """What commits with the events of a decision: SQL statements, on the condition that the aggregates of
    the snapshots have not changed."""

    statements: Sequence[Statement] = ()
    unless_changed: Sequence[Snapshot[Any]] = ()


def change(
    store: EventStore,
    aggregate_id: str,
    context: Context,
    find: Callable[[], A],
    decide: Callable[[A], Iterable[Statement] | Change | None],
) -> A:
    """Load, guard, decide and save one aggregate; decide again if another command changed it meanwhile.

    `find` returns the aggregate or raises NotFound. If an earlier delivery of the same command was stored,
    its outcome is returned and nothing is decided. Otherwise `decide` refuses (Forbidden, PreconditionFailed,
    Invalid, in that order) or records events, and may return SQL statements that commit with them, or a
    Change.

    The first decision takes no lock. After a collision the commands on this aggregate run one at a time for a
    while: otherwise they could fail repeatedly, and a client would get conflicts that it cannot resolve.
    """
    for _ in range(MAX_DECISIONS):
        try:
            with store.serialize_after_collision(aggregate_id):
                aggregate = find()
                if done := store.done_before(type(aggregate), aggregate_id, context):
                    return done
                decided = decide(aggregate)
                if not isinstance(decided, Change):
                    decided = Change(tuple(decided or ()))
                store.save(aggregate, statements=decided.statements, unless_changed=decided.unless_changed)
                return aggregate
        except VersionConflict:
            store.note_collision(aggregate_id)
        except OutOfDate:
            continue
        except psycopg.errors.LockNotAvailable:
            break
    raise Conflict(TOO_MANY_CHANGES)


def create(
    store: EventStore,
    aggregate: A,
    context: Context,
    *,
    statements: Sequence[Statement] = (),
    unless_changed: Sequence[Snapshot[Any]] = (),
) -> A:
    """Save a new aggregate. If an earlier delivery of the same command created it, return that one.

    Raises Conflict if another aggregate has its id, OutOfDate if one of `unless_changed` has changed.
    """
    if done := store.done_before(type(aggregate), aggregate.id, context):
        return done
    try:
        store.save(aggregate, statements=statements, unless_changed=unless_changed)
    except VersionConflict:
        raise Conflict(f"The id {aggregate.id} is already in use.") from None
    return aggregate
