"""Decides which of the claimed deliveries is posted next: the limits in total and for each webhook."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import NamedTuple

from webhook_dispatcher.owners import Endpoint

FULL = 1_000_000
SLOW_SECONDS = 0.5  # a post that takes longer
RESERVED_SHARE = 4  # one of so many places is not for slow webhooks
FREE_FOR_EACH = (
    8  # a webhook may get a second place while so many are free, a third one with twice as many ...
)
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
    wait_seconds: float = 0.0  # before the post, because of the webhook's `max_per_second`
    traceparent: str | None = None  # of the event, if its request was traced


class Item(NamedTuple):
    """A claimed delivery that waits for its post."""

    claim: Claim
    endpoint: Endpoint
    at: float  # the earliest time of the post


class Queue:
    """Claimed deliveries that wait, and the number of posts in flight. The webhooks take turns.

    A webhook gets a place only while it holds at most a share of the free ones. One whose last post took long
    gets none of the places that are reserved for the others, and few claims.

    After a failure nothing waits for that webhook, and nothing is claimed for it until the failure is stored:
    its next deliveries are claimed with the pauses and limits that follow from the failure.
    """

    def __init__(self, limit: int, limit_per_endpoint: int) -> None:
        self._limit = limit
        self._reserved = limit // RESERVED_SHARE
        self._limit_per_endpoint = limit_per_endpoint
        self._posts: Counter[str] = Counter()
        self._slow: set[str] = set()
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._failures: Counter[str] = Counter()  # that are not stored yet
        self._stale: list[Claim] = []
        self._is_closed = False

    def add(self, claim: Claim, endpoint: Endpoint) -> None:
        item = Item(claim, endpoint, time.monotonic() + claim.wait_seconds)
        self._waiting.setdefault(claim.endpoint_id, deque()).append(item)

    def take(self) -> Item | None:
        """The delivery to post now, or None. The caller calls `end` after the post."""
        free = self._limit - self._posts.total()
        if self._is_closed or free <= 0:
            return None
        now = time.monotonic()
        oldest = now - LONGEST_WAIT_SECONDS
        for endpoint_id, items in list(self._waiting.items()):
            while items and items[0].at < oldest:
                self._stale.append(items.popleft().claim)
            if items and items[0].at <= now and self._has_place(endpoint_id, free):
                item = items.popleft()
                self._posts[endpoint_id] += 1
                self._waiting.move_to_end(endpoint_id)
                self._drop_if_empty(endpoint_id)
                return item
            self._drop_if_empty(endpoint_id)
        return None

    def _has_place(self, endpoint_id: str, free: int) -> bool:
        posts = self._posts[endpoint_id]
        if posts >= self._limit_per_endpoint:
            return False
        if endpoint_id in self._slow:
            free -= self._reserved
        return free > 0 and (posts == 0 or posts * FREE_FOR_EACH < free)

    def end(self, claim: Claim, *, has_failed: bool, seconds: float = 0.0) -> None:
        """Count the end of a post that took so long. After a failure the caller calls `note_stored` later."""
        endpoint_id = claim.endpoint_id
        _decrement(self._posts, endpoint_id)
        if seconds > SLOW_SECONDS:
            self._slow.add(endpoint_id)
        else:
            self._slow.discard(endpoint_id)
        if has_failed:
            self._failures[endpoint_id] += 1
            self._stale += [item.claim for item in self._waiting.pop(endpoint_id, ())]

    def note_stored(self, endpoint_id: str) -> None:
        """Count a failure of this webhook as stored."""
        _decrement(self._failures, endpoint_id)

    def busy(self) -> Counter[str]:
        """By webhook, the number of deliveries that are posted or wait; FULL for one that gets no claims
        now."""
        waiting = Counter({each: len(items) for each, items in self._waiting.items()})
        busy = self._posts + waiting
        of_slow = sum(busy[endpoint_id] for endpoint_id in self._slow)
        if of_slow >= self._limit - self._reserved:
            busy += Counter(dict.fromkeys(self._slow, FULL))
        return busy + Counter(dict.fromkeys(self._failures, FULL))

    def slow(self) -> list[str]:
        """The webhooks whose last post took long. They get no claims for later posts."""
        return list(self._slow)

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
