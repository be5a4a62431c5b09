"""Reads the log as a follower does."""

from __future__ import annotations

from typing import NamedTuple

from domain.aggregate import DomainEvent
from infrastructure.storage.event_store import EventStore, decode


class Recorded(NamedTuple):
    """One event and its position in the log."""

    position: int
    event: DomainEvent


def events_after(store: EventStore, position: int, limit: int) -> list[Recorded]:
    """Up to `limit` events after `position`, with decrypted personal fields."""
    rows = store.recorder.select_notifications(position, limit, inclusive_of_start=False)
    events = store.decrypt([decode(row.state) for row in rows])
    return [Recorded(row.id, event) for row, event in zip(rows, events, strict=True)]
