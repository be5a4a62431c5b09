"""Waits until Kafka has written the commit markers of a transaction to all its partitions.

Kafka answers a commit before that. A broker that is killed in between may never write some markers
(unfinished.py). Records of a next transaction would then follow unmarked records, and an abort of the next
transaction would abort both.
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
    """A consumer that reads how far committed records can be read. Use it as a context manager."""

    def __init__(self, settings: Settings, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._consumer = make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-marks")
        self._wait_seconds = wait_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def wait_for(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Wait until consumers can read the records at these offsets in every partition.

        Raises TimeoutError after the limit, KafkaError when Kafka does not answer.
        """
        deadline = time.monotonic() + self._wait_seconds
        waiting = dict(offsets)
        while waiting:
            ends = self._consumer.end_offsets(list(waiting), timeout_ms=int(self._wait_seconds * 1000))
            waiting = {each: offset for each, offset in waiting.items() if ends[each] <= offset}
            if waiting and time.monotonic() > deadline:
                raise TimeoutError(
                    f"Kafka answered a commit, but wrote no marker to {len(waiting)} partitions within"
                    f" {self._wait_seconds:g} s."
                )
            if waiting:
                time.sleep(PAUSE_SECONDS)
