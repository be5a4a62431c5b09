"""Load, guard, decide, save: the steps that commands have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from domain.access import Context
from domain.aggregate import Aggregate
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.event_store import decide as decide_again
from infrastructure.storage.postgres import Statement

A = TypeVar("A", bound=Aggregate)


def change(
    store: EventStore,
    aggregate_id: str,
    context: Context,
    find: Callable[[], A],
    decide: Callable[[A], Iterable[Statement] | None],
) -> A:
    """Load, guard, decide and save one aggregate; decide again when another command was faster.

    `find` returns the aggregate or raises NotFound. If an earlier delivery of the same command was stored,
    its outcome is returned and nothing is decided. Otherwise `decide` refuses (Forbidden, PreconditionFailed,
    Invalid, in that order) or records events, and may return SQL statements that commit with them.
    """

    def attempt() -> A:
        aggregate = find()
        if done := store.done_before(type(aggregate), aggregate_id, context):
            return done
        statements = decide(aggregate)
        store.save(aggregate, also=tuple(statements or ()))
        return aggregate

    return decide_again(store, aggregate_id, attempt)
