"""Decides which of the claimed deliveries is posted next: the limits in total and for each webhook."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import NamedTuple

from webhook_dispatcher.owners import Endpoint

FULL = 1_000_000
LONGEST_WAIT_SECONDS = 1.0  # of a claimed delivery; rights and state of its webhook were read with the claim


class Claim(NamedTuple):
    """A delivery that this process holds until the lease ends; the fields are the columns of `claim`."""

    id: int
    endpoint_id: str
    message_id: str
    number: int
    failures: int
    property_id: str | None
    requester_id: str | None
    is_internal: bool
    body: bytes


class Item(NamedTuple):
    """A claimed delivery that waits for its post."""

    claim: Claim
    endpoint: Endpoint
    at: float


class Queue:
    """Claimed deliveries that wait, and the number of posts in flight. The webhooks take turns.

    After a failure nothing waits for that webhook, and nothing is claimed for it until the failure is stored:
    its next deliveries are claimed with the pauses and limits that follow from the failure.
    """

    def __init__(self, limit: int, limit_per_endpoint: int) -> None:
        self._limit = limit
        self._limit_per_endpoint = limit_per_endpoint
        self._posts: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._failures: Counter[str] = Counter()  # that are not stored yet
        self._stale: list[Claim] = []
        self._is_closed = False

    def add(self, claim: Claim, endpoint: Endpoint) -> None:
        item = Item(claim, endpoint, time.monotonic())
        self._waiting.setdefault(claim.endpoint_id, deque()).append(item)

    def take(self) -> Item | None:
        """The delivery to post now, or None. The caller calls `end` after the post."""
        if self._is_closed or self._posts.total() >= self._limit:
            return None
        oldest = time.monotonic() - LONGEST_WAIT_SECONDS
        for endpoint_id, items in list(self._waiting.items()):
            while items and items[0].at < oldest:
                self._stale.append(items.popleft().claim)
            if items and self._posts[endpoint_id] < self._limit_per_endpoint:
                item = items.popleft()
                self._posts[endpoint_id] += 1
                self._waiting.move_to_end(endpoint_id)
                self._drop_if_empty(endpoint_id)
                return item
            self._drop_if_empty(endpoint_id)
        return None

    def end(self, claim: Claim, *, has_failed: bool) -> None:
        """Count the end of a post. After a failure the caller calls `note_stored` later."""
        _decrement(self._posts, claim.endpoint_id)
        if has_failed:
            self._failures[claim.endpoint_id] += 1
            self._stale += [item.claim for item in self._waiting.pop(claim.endpoint_id, ())]

    def note_stored(self, endpoint_id: str) -> None:
        """Count a failure of this webhook as stored."""
        _decrement(self._failures, endpoint_id)

    def busy(self) -> Counter[str]:
        """By webhook, the number of deliveries that are posted or wait; FULL for one with new failures."""
        waiting = Counter({each: len(items) for each, items in self._waiting.items()})
        return self._posts + waiting + Counter(dict.fromkeys(self._failures, FULL))

    def take_stale(self) -> list[Claim]:
        """Take out the deliveries whose claim must be released because they will not be posted under it."""
        stale, self._stale = self._stale, []
        return stale

    def close(self) -> None:
        """Begin no more posts."""
        self._is_closed = True

    def _drop_if_empty(self, endpoint_id: str) -> None:
        if not self._waiting[endpoint_id]:
            del self._waiting[endpoint_id]


def _decrement(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
