"""Stores aggregates at every hundredth version, so that a read folds at most a hundred events.

A cache: a snapshot that the present code did not make, or whose event is not in the log, is not used.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import psycopg
import structlog

from domain.aggregate import Aggregate
from infrastructure.storage.postgres import named_queries
from infrastructure.storage.recorder import WatermarkRecorder

EVERY = 100  # versions
_sql = named_queries(Path(__file__).parent / "sql" / "stored_snapshots.sql")
_encode = msgspec.json.Encoder().encode

A = TypeVar("A", bound=Aggregate)

log = structlog.get_logger()


class StoredState(NamedTuple):
    """An aggregate at the version of an event, and the stored bytes of that event."""

    aggregate: Aggregate
    event: bytes


class StoredSnapshots:
    """The table `cache.snapshots`."""

    def __init__(self, recorder: WatermarkRecorder) -> None:
        self._recorder = recorder

    def read(self, kind: type[A], aggregate_id: str, up_to: int) -> tuple[A | None, list[bytes]]:
        """The newest snapshot up to the version `up_to`, and the stored bytes of the later events up to it.

        The first of them is the event of the snapshot itself. Without a snapshot the events are all events.
        """
        parameters = {"id": aggregate_id, "up_to": up_to, "shape": shape_of(kind)}
        with self._recorder.connection() as conn:
            rows = conn.fetch(_sql["read"], parameters)
            if not rows or not rows[0][0]:
                return None, [state for _, _, _, state in rows]
            (_, _, event_sha256, snapshot), *events = rows
            states = [state for _, _, _, state in events]
            if states and hashlib.sha256(states[0]).digest() == event_sha256:
                return msgspec.json.decode(snapshot, type=kind), states
            log.warning("snapshot_ignored", aggregate_id=aggregate_id, reason="the log has another event")
            rows = conn.fetch(_sql["read"], {**parameters, "shape": b""})
        return None, [state for _, _, _, state in rows]

    def insert(self, kind: type[Aggregate], aggregate_id: str, states: Sequence[StoredState]) -> None:
        """Store snapshots. An error is only logged: the next reader stores them."""
        parameters = {
            "id": aggregate_id,
            "shape": shape_of(kind),
            "versions": [state.aggregate.version for state in states],
            "hashes": [hashlib.sha256(state.event).digest() for state in states],
            "states": [_encode(state.aggregate) for state in states],
        }
        try:
            with self._recorder.connection() as conn:
                conn.execute(_sql["insert"], parameters)
        except psycopg.Error as error:
            log.warning("snapshots_not_stored", aggregate_id=aggregate_id, error=str(error))


@cache
def shape_of(kind: type[Aggregate]) -> bytes:
    """A hash of the code that folds the aggregate. After a change of the code, snapshots are made again."""
    modules = {sys.modules[each.__module__] for each in kind.__mro__ if issubclass(each, Aggregate)}
    files = sorted(str(module.__file__) for module in modules)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).digest()[:16]
