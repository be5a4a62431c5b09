"""Commands that answer with a secret of which only a hash is stored: each is answered once.

A repeated command cannot get the first answer, because the secret is stored nowhere. A new secret would match
no stored hash. So a repeated command is refused with SecretWasShown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from commands.deciding import create
from domain.access import Context
from domain.aggregate import Aggregate
from domain.errors import Conflict
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement

A = TypeVar("A", bound=Aggregate)


class SecretWasShown(Conflict):
    """The command was executed before. `remedy` completes the message, for a client that lost the secret."""

    def __init__(self, remedy: str) -> None:
        super().__init__(f"This was done already, and the secret was shown then. If it was lost, {remedy}")


def with_new_attempt(context: Context) -> Context:
    """The context with a new attempt, so that each delivery of the command records events with other ids."""
    return msgspec.structs.replace(context, is_retry=False, attempt=new_id())


def create_once(
    store: EventStore, aggregate: A, context: Context, *, statements: Sequence[Statement], remedy: str
) -> A:
    """Save a new aggregate, recorded in a context of `with_new_attempt`, with the row of its secret.

    Raises SecretWasShown for a repeat of the command, and Conflict when another aggregate has its id.
    """
    try:
        return create(store, aggregate, context, statements=statements)
    except Conflict:
        require_no_answer_yet(store, type(aggregate), aggregate.id, context, remedy)
        raise


def require_no_answer_yet(
    store: EventStore, kind: type[Aggregate], aggregate_id: str, context: Context, remedy: str
) -> None:
    """Raise SecretWasShown if the log has events of this command already."""
    if store.outcome_of(kind, aggregate_id, context.command_id) is not None:
        raise SecretWasShown(remedy)
