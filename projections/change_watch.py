"""Wakes the requests that wait for a change, when the read tables contain one that concerns them.

One thread for each process reads what the new events concern, once for all waiting requests. So an event of
one property wakes only those who may see it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from infrastructure.process.failures import FailureLog
from infrastructure.process.threads import start_watched
from infrastructure.storage.postgres import Pool, named_queries
from projections.change_scope import Followed, Scope
from projections.project_audit import key_of
from projections.visibility import Visibility

WAIT_SECONDS = 1.0  # for the next notification; then the thread looks whether it has to stop
PAUSE_SECONDS = 0.02  # between two reads, so that many events are read together
RETRY_SECONDS = 1.0
MOST_EVENTS = 2_000  # of one read; more of them concern everybody
KEPT_READS = 256
_FOLLOWED: dict[str, Followed] = {"ticket": "tickets", "property": "properties", "user": "users"}
_sql = named_queries(Path(__file__).parent / "sql" / "changes.sql")

Wake = Callable[[], object]


class Interest(NamedTuple):
    """What a waiting request follows: the objects in the scope, and one subject, mostly the rights of its
    person."""

    scope: Scope | None
    of: Sequence[Followed]
    subject_key: int | None

    @classmethod
    def of_caller(cls, scope: Scope, of: Sequence[Followed], user_id: str | None) -> Interest:
        return cls(scope, of, None if user_id is None else key_of(user_id))

    @classmethod
    def of_subject(cls, subject_id: str) -> Interest:
        return cls(None, (), key_of(subject_id))


class Concerned:
    """What the events after the position `after`, up to `end`, concern."""

    def __init__(self, after: int, end: int, rows: Sequence[Sequence[object]]) -> None:
        self.after = after
        self.end = end
        self._is_everything = len(rows) >= MOST_EVENTS
        self._properties: dict[str, set[str]] = {}  # by kind of object
        self._requesters: set[object] = set()
        self._subjects: set[object] = set()
        for kind, property_ids, subject_key, requester_id, former_requester_id in rows:
            self._properties.setdefault(_FOLLOWED[str(kind)], set()).update(str(property_ids).split())
            self._requesters.update((requester_id, former_requester_id))
            self._subjects.add(subject_key)

    def includes(self, interest: Interest) -> bool:
        """Whether the request may have something to answer; false only if it certainly has not."""
        if self._is_everything or interest.subject_key in self._subjects:
            return True
        scope = interest.scope
        return scope is not None and any(self._includes(scope, followed) for followed in interest.of)

    def _includes(self, scope: Scope, followed: Followed) -> bool:
        property_ids = self._properties.get(followed)
        if property_ids is None:
            return False
        if followed == "tickets" and scope.requester_id is not None:
            return scope.requester_id in self._requesters
        return scope.property_ids is None or not scope.property_ids.isdisjoint(property_ids)


def shown_position(pool: Pool) -> int:
    """The position of the log up to which the read tables are filled."""
    ((position,),) = pool.fetch(_sql["shown_position"])
    return int(position)


class ChangeWatch:
    """The requests of this process that wait for a change. Its thread starts with the first of them."""

    def __init__(self, pool: Pool, visibility: Visibility) -> None:
        self._pool = pool
        self._visibility = visibility
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Interest, Wake]] = {}
        self._numbers = count()
        self._reads: deque[Concerned] = deque(maxlen=KEPT_READS)  # without a gap between them
        self._position = 0  # up to which the events have been read
        self._is_wanted = threading.Event()  # set while requests wait
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = FailureLog("changes_not_watched")

    def add(self, interest: Interest, seen: int, wake: Wake) -> Callable[[], None]:
        """Call `wake` once, in any thread, after an event that the request has not seen and that may concern
        it. Returns a function that ends this. `seen` is the position up to which the request has read."""
        with self._lock:
            if not self._waiting and self._position != seen:
                self._reads.clear()
                self._position = seen
            if self._has_missed(interest, seen):
                wake()
                return lambda: None
            number = next(self._numbers)
            self._waiting[number] = interest, wake
            self._is_wanted.set()
            if self._thread is None:
                self._thread = start_watched(self._run, name="changes")
        return lambda: self._remove(number)

    def reached(self) -> int:
        """A position up to which the read tables are filled; all that other requests wait for is after it."""
        with self._lock:
            if self._waiting:
                return self._position
        return shown_position(self._pool)

    def close(self) -> None:
        self._closing.set()
        self._is_wanted.set()

    def _has_missed(self, interest: Interest, seen: int) -> bool:
        """Whether events after `seen` may concern the request, among those that have been read already."""
        if seen >= self._position:
            return False
        if not self._reads or self._reads[0].after > seen:
            return True
        return any(read.end > seen and read.includes(interest) for read in self._reads)

    def _remove(self, number: int) -> None:
        with self._lock:
            self._waiting.pop(number, None)
            if not self._waiting and not self._closing.is_set():
                self._is_wanted.clear()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._is_wanted.wait()
            try:
                self._read_next()
            except Exception as error:  # waiting requests are answered when their time is over
                self._failures.add(error)
                self._closing.wait(RETRY_SECONDS)

    def _read_next(self) -> None:
        with self._lock:
            after = self._position
        end = self._visibility.wait_beyond(after, WAIT_SECONDS)
        if end <= after:
            return
        rows = self._pool.fetch(_sql["concerned"], {"after": after, "end": end, "limit": MOST_EVENTS})
        read = Concerned(after, end, rows)
        for wake in self._take_concerned(read):
            wake()
        self._closing.wait(PAUSE_SECONDS)

    def _take_concerned(self, read: Concerned) -> list[Wake]:
        """Remove the requests that the events concern, and return how to wake them."""
        with self._lock:
            if self._position != read.after:  # the first of other requests has begun to wait meanwhile
                return []
            self._position = read.end
            self._reads.append(read)
            found = [
                (number, wake)
                for number, (interest, wake) in self._waiting.items()
                if read.includes(interest)
            ]
            for number, _ in found:
                del self._waiting[number]
            if not self._waiting and not self._closing.is_set():
                self._is_wanted.clear()
            return [wake for _, wake in found]
