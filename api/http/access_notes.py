"""Records reads of the audit trail and refused requests as events, in a background thread.

A request adds a note to a queue; a thread appends the notes to the log. The first note of each kind within
a minute is written immediately. Repetitions, and notes beyond WRITTEN_AT_ONCE of one credential, are counted
and written as one event when the minute ends. So a client that is refused a thousand times adds only a few
dozen events to the log.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from commands.audit import NoteAuditReading, NoteDenial, note_audit_reading, note_denial
from domain.access import Context
from infrastructure.ids import new_id
from infrastructure.process.failures import FailureLog, describe_error
from infrastructure.process.threads import start_watched
from infrastructure.storage.event_store import EventStore

WINDOW_SECONDS = 60.0
WRITTEN_AT_ONCE = 10  # in one window, for each credential
CREDENTIALS_WATCHED = 1_000
NOTES_WAITING = 10_000  # limit of the queue; when it is full, notes are dropped, which is logged
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 2.0

log = structlog.get_logger()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One access to record: a refused request when `code` is set, otherwise a read of the audit trail."""

    context: Context
    method: str
    route: str
    code: str | None = None
    subject_id: str | None = None
    filters: Mapping[str, str] = {}

    @property
    def credential(self) -> str:
        return self.context.caller.credential_id or self.context.caller.principal_id

    @property
    def repetition_key(self) -> tuple[Any, ...]:
        """A key that is equal for notes of equal requests."""
        return (*self.count_key, self.subject_id, *self.filters.items())

    @property
    def count_key(self) -> tuple[Any, ...]:
        """The key of the notes that are counted together."""
        return (self.method, self.route, self.code)


class _Count(NamedTuple):
    last: Note
    times: int
    is_one_subject: bool


class _Window:
    """The notes of one credential within one minute."""

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.written: set[tuple[Any, ...]] = set()
        self.counts: dict[tuple[Any, ...], _Count] = {}

    def add(self, note: Note) -> bool:
        """Return True if the note must be written immediately; otherwise count it."""
        if note.repetition_key not in self.written and len(self.written) < WRITTEN_AT_ONCE:
            self.written.add(note.repetition_key)
            return True
        before = self.counts.get(note.count_key, _Count(note, 0, True))
        is_one_subject = before.is_one_subject and before.last.repetition_key == note.repetition_key
        self.counts[note.count_key] = _Count(note, before.times + 1, is_one_subject)
        return False


class AccessNotes:
    """The queue of notes and the thread that writes them; one per process.

    `add` does not wait for the database and does not fail.
    """

    def __init__(self, store: EventStore, window_seconds: float = WINDOW_SECONDS) -> None:
        self._store = store
        self._window_seconds = window_seconds
        self._changed = threading.Condition()
        self._windows: OrderedDict[str, _Window] = OrderedDict()  # in the order in which they end
        self._waiting: list[tuple[Note, int]] = []
        self._writer: threading.Thread | None = None
        self._closing = False
        self._failures = FailureLog("access_notes_wait")

    def add(self, note: Note) -> None:
        with self._changed:
            window = self._windows.get(note.credential)
            if window is None or window.ends_at <= time.monotonic():
                self._end_windows(everything=len(self._windows) >= CREDENTIALS_WATCHED)
                window = _Window(time.monotonic() + self._window_seconds)
                self._windows[note.credential] = window
            if window.add(note):
                self._enqueue(note, 1)
            if not self._closing and self._writer is None:
                self._writer = start_watched(self._write, name="access-notes")
            self._changed.notify()

    def close(self) -> None:
        """Write the waiting and the counted notes; stop after CLOSING_SECONDS."""
        with self._changed:
            self._closing = True
            self._end_windows(everything=True)
            self._changed.notify()
        if self._writer is not None:
            self._writer.join(CLOSING_SECONDS)

    def _end_windows(self, *, everything: bool = False) -> None:
        now = time.monotonic()
        while self._windows and (everything or next(iter(self._windows.values())).ends_at <= now):
            _, window = self._windows.popitem(last=False)
            for note, times, is_one_subject in window.counts.values():
                if not is_one_subject:
                    note = msgspec.structs.replace(note, subject_id=None, filters={})
                self._enqueue(note, times)

    def _enqueue(self, note: Note, times: int) -> None:
        if len(self._waiting) < NOTES_WAITING:
            self._waiting.append((note, times))
        else:
            _log_dropped(note, times, error="the queue is full")

    def _write(self) -> None:
        while True:
            with self._changed:
                self._end_windows()
                if not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait(self._seconds_until_next_end())
                    continue
                note, times = self._waiting.pop(0)
            try:
                self._record(note, times)
            except (psycopg.Error, PoolTimeout) as error:
                with self._changed:
                    self._waiting.insert(0, (note, times))
                    self._failures.add(error, waiting=len(self._waiting))
                    if self._closing:
                        return
                    self._changed.wait(RETRY_SECONDS)
            except Exception as error:  # a retry would fail the same way: continue with the next note
                _log_dropped(note, times, error=describe_error(error))

    def _seconds_until_next_end(self) -> float | None:
        window = next(iter(self._windows.values()), None)
        return None if window is None else max(0.0, window.ends_at - time.monotonic())

    def _record(self, note: Note, times: int) -> None:
        context = msgspec.structs.replace(note.context, command_id=new_id())
        if note.code is None:
            reading = NoteAuditReading(route=note.route, filters=dict(note.filters), times=times)
            note_audit_reading(self._store, reading, context)
        else:
            denial = NoteDenial(
                method=note.method,
                route=note.route,
                code=note.code,
                subject_id=note.subject_id,
                times=times,
            )
            note_denial(self._store, denial, context)


def _log_dropped(note: Note, times: int, *, error: str) -> None:
    log.error("access_not_recorded", route=note.route, key_id=note.credential, times=times, error=error)
