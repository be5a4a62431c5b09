"""Clients that together send a steady number of requests per second, and what their operations say."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.chaos.load import Client, Load
from tests.chaos.operations import Operation
from tests.support.waiting import eventually

CLIENTS = 20
GAP_SECONDS = 1.0  # between refusals of different outages
WAIT_SECONDS = 300


class PacedClient(Client):
    """A client that begins a request every `pause_seconds`. If one takes longer, the next follows at once."""

    def __init__(
        self, number: int, load: Load, base_url: str, key: str, pause_seconds: float, seed: int
    ) -> None:
        super().__init__(number, load, base_url, key, pause_seconds, seed)
        self._due = time.monotonic() + number * pause_seconds / CLIENTS

    def pause(self) -> float:
        now = time.monotonic()
        self._due = max(self._due + self._pause_seconds, now)
        return self._due - now


def paced_load(base_url: str, key: str, per_second: float) -> Load:
    """The load of CLIENTS clients, which begins when `work` is called."""
    return Load(
        base_url,
        key,
        clients=CLIENTS,
        pause_seconds=CLIENTS / per_second,
        bulk_clients=0,
        seed=1,
        client_type=PacedClient,
    )


def wait_for_operations(load: Load, number: int) -> None:
    """Wait until that many more operations have been made."""
    target = load.operations_made + number
    eventually(lambda: load.operations_made >= target, WAIT_SECONDS)


def is_refused(operation: Operation) -> bool:
    """Whether the answer is the one failure that is allowed for a short time."""
    return operation.status == 503 and operation.retry_after is not None


def failed(operations: Sequence[Operation]) -> list[str]:
    """The attempts without a usable answer: none came, or one of 5xx that is not a refusal."""
    began = min((one.invoked_at for one in operations), default=0.0)
    return [
        f"{one.key}: {one.status or 'no answer'} after {one.returned_at - began:.1f} s"
        for one in operations
        if one.status is None or (one.status >= 500 and not is_refused(one))
    ]


def longest_refusal_seconds(operations: Sequence[Operation]) -> float:
    """The duration of the longest time in which requests were refused."""
    times = sorted(one.returned_at for one in operations if is_refused(one))
    longest, start = 0.0, None
    for before, at in itertools.pairwise([float("-inf"), *times]):
        if start is None or at - before > GAP_SECONDS:
            start = at
        longest = max(longest, at - start)
    return longest


def slowest_seconds(operations: Sequence[Operation]) -> float:
    return max(one.returned_at - one.invoked_at for one in operations)


def per_second(operations: Sequence[Operation]) -> float:
    """The number of attempts per second, from the first to the last."""
    began = min(one.invoked_at for one in operations)
    return len(operations) / (max(one.returned_at for one in operations) - began)


def statuses(operations: Sequence[Operation]) -> dict[Any, int]:
    """The number of attempts by status; None is that of those without an answer."""
    return dict(Counter(one.status for one in operations))
