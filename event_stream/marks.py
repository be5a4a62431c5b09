"""Waiting until Kafka has marked a transaction as committed in all its partitions.

It answers a commit before that, and a broker that is killed then may forget some of them (unfinished.py). The
records of the next transaction would join what hangs there, and an abort of theirs would be one of all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from kafka import TopicPartition

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer

WAIT_SECONDS = 10.0
PAUSE_SECONDS = 0.001


class Marks:
    """Looks at how far readers of committed records can read. To be closed, as a context manager."""

    def __init__(self, settings: Settings, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._consumer = make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-marks")
        self._wait_seconds = wait_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def wait_for(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Return when the records at these offsets can be read everywhere; raise TimeoutError if they cannot
        for too long, KafkaError when Kafka does not answer meanwhile."""
        deadline = time.monotonic() + self._wait_seconds
        waiting = dict(offsets)
        while waiting:
            ends = self._consumer.end_offsets(list(waiting), timeout_ms=int(self._wait_seconds * 1000))
            waiting = {each: offset for each, offset in waiting.items() if ends[each] <= offset}
            if waiting and time.monotonic() > deadline:
                raise TimeoutError(
                    f"Kafka has answered a commit, but not marked it in {len(waiting)} partitions within"
                    f" {self._wait_seconds:g} s."
                )
            if waiting:
                time.sleep(PAUSE_SECONDS)
