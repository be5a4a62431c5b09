"""Recording who reads the audit and who is turned away, beside the requests themselves.

A request only leaves a note; a thread writes it to the log. The first of its kind within a minute is
written at once. What repeats, and what goes over a credential's budget, is counted and written as one
event when the minute is over: whoever knocks a thousand times fills the log with a few dozen events.
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
from infrastructure.process.threads import start_watched
from infrastructure.storage.event_store import EventStore

WINDOW_SECONDS = 60.0
WRITTEN_AT_ONCE = 10  # a window, for each credential
CREDENTIALS_WATCHED = 1_000
NOTES_WAITING = 10_000  # while the database is away; more are given up, and that is logged
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 2.0

log = structlog.get_logger()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What happened: an audit that was read, or, with a `code`, a refusal."""

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
    def exactly(self) -> tuple[Any, ...]:
        """Notes that agree in this are repetitions."""
        return (self.method, self.route, self.code, self.subject_id, *self.filters.items())

    @property
    def roughly(self) -> tuple[Any, ...]:
        """What repetitions and those over budget are counted by."""
        return (self.method, self.route, self.code)


class _Count(NamedTuple):
    last: Note
    times: int
    is_one_subject: bool


class _Window:
    """One credential's minute."""

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.written: set[tuple[Any, ...]] = set()
        self.counts: dict[tuple[Any, ...], _Count] = {}

    def takes(self, note: Note) -> bool:
        """Whether the note is to be written at once; otherwise it is counted."""
        if note.exactly not in self.written and len(self.written) < WRITTEN_AT_ONCE:
            self.written.add(note.exactly)
            return True
        before = self.counts.get(note.roughly, _Count(note, 0, True))
        alike = before.is_one_subject and before.last.exactly == note.exactly
        self.counts[note.roughly] = _Count(note, before.times + 1, alike)
        return False


class AccessNotes:
    """One a process. `leave` never waits for the database and never fails; `close` writes what is left."""

    def __init__(self, store: EventStore, window_seconds: float = WINDOW_SECONDS) -> None:
        self._store = store
        self._window_seconds = window_seconds
        self._changed = threading.Condition()
        self._windows: OrderedDict[str, _Window] = OrderedDict()  # the first ends first
        self._waiting: list[tuple[Note, int]] = []
        self._writer: threading.Thread | None = None
        self._closing = False

    def leave(self, note: Note) -> None:
        with self._changed:
            window = self._windows.get(note.credential)
            if window is None or window.ends_at <= time.monotonic():
                self._end_windows(everything=len(self._windows) >= CREDENTIALS_WATCHED)
                window = _Window(time.monotonic() + self._window_seconds)
                self._windows[note.credential] = window
            if window.takes(note):
                self._enqueue(note, 1)
            if not self._closing and self._writer is None:
                self._writer = start_watched(self._write, name="access-notes")
            self._changed.notify()

    def close(self) -> None:
        """Write what is waiting and what has been counted, for as long as CLOSING_SECONDS."""
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
            _give_up(note, times, error="too many are waiting")

    def _write(self) -> None:
        while True:
            with self._changed:
                self._end_windows()
                if not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait(self._until_next_end())
                    continue
                note, times = self._waiting.pop(0)
            try:
                self._record(note, times)
            except (psycopg.Error, PoolTimeout) as error:
                with self._changed:
                    self._waiting.insert(0, (note, times))
                    log.warning("access_notes_wait", error=type(error).__name__, waiting=len(self._waiting))
                    if self._closing:
                        return
                    self._changed.wait(RETRY_SECONDS)
            except Exception as error:  # a retry would fail the same way: continue with the next note
                _give_up(note, times, error=repr(error)[:500])

    def _until_next_end(self) -> float | None:
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


def _give_up(note: Note, times: int, *, error: str) -> None:
    log.error("access_not_recorded", route=note.route, key_id=note.credential, times=times, error=error)
