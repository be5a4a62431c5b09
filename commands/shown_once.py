"""Commands whose answer holds a secret of which only a hash is kept: each is answered once.

A repeat of such a command cannot be given what the first one was: its secret is nowhere any more. A secret
drawn anew would be stored nowhere and open nothing. So a repeat is refused, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from domain.access import Context
from domain.aggregate import Aggregate
from domain.errors import Conflict
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore, create
from infrastructure.storage.postgres import Statement

A = TypeVar("A", bound=Aggregate)


class SecretWasShown(Conflict):
    """The command was carried out before; `otherwise` says what to do if its secret was not kept."""

    def __init__(self, otherwise: str) -> None:
        super().__init__(f"This was done already, and the secret shown then. If it was not kept, {otherwise}")


def only_attempt(context: Context) -> Context:
    """The context of this attempt at the command and of no other, so that no other passes for it."""
    return msgspec.structs.replace(context, is_retry=False, attempt=new_id())


def create_once(
    store: EventStore, aggregate: A, context: Context, *, also: Sequence[Statement], otherwise: str
) -> A:
    """Save a new aggregate, recorded under `only_attempt`, with the row of its secret. Raises SecretWasShown
    for a repeat, Conflict when its id is taken by something else."""
    try:
        return create(store, aggregate, context, also=also)
    except Conflict:
        require_unanswered(store, type(aggregate), aggregate.id, context, otherwise)
        raise


def require_unanswered(
    store: EventStore, kind: type[Aggregate], aggregate_id: str, context: Context, otherwise: str
) -> None:
    """Raise SecretWasShown if the log knows this command already."""
    if store.outcome_of(kind, aggregate_id, context.command_id) is not None:
        raise SecretWasShown(otherwise)
