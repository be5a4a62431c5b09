"""Traces: spans for requests, appends, events and posts. Off unless the environment names a collector.

Nothing of OpenTelemetry is imported, and every function returns at once, until `start_tracing` was called
with settings that have an OTLP endpoint. A thread of the process exports the spans, from a bounded queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from domain.aggregate import DomainEvent
from infrastructure.process.failures import FailureLog
from infrastructure.process.trace_ids import Trace
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection, Statement
from infrastructure.storage.traces import Lookup, read_traces, statement_to_store

if TYPE_CHECKING:
    from infrastructure.process.otel import ClientSpan, RequestSpan, Tracing

NEWEST = timedelta(hours=1)  # events that are handled later, such as those published again, have no spans
Step = Literal["project", "publish", "enqueue"]

_active: Tracing | None = None
_nothing: AbstractContextManager[None] = nullcontext()
_failures = FailureLog("spans_not_made")


class HandledEvent(msgspec.Struct, frozen=True):
    """The fields of a stored event that its spans need."""

    event_id: str
    type: str
    request_id: str
    occurred_at: datetime


_event_of = msgspec.json.Decoder(HandledEvent).decode


def start_tracing(settings: Settings, process: str) -> None:
    """Trace from now on if the settings name a collector. Forks must call it themselves."""
    global _active
    if settings.has_traces:
        from infrastructure.process.otel import Tracing  # here, so that it costs nothing without a collector

        _active = Tracing(process)


def stop_tracing() -> None:
    """Export what waits, for at most a second, and trace no more."""
    global _active
    active, _active = _active, None
    if active is not None:
        active.close()


def begin_request(header: Callable[[str], str | None], request_id: str) -> RequestSpan | None:
    """Begin the span of a request; `header` returns a header of the request. A malformed trace context is
    ignored."""
    if _active is None:
        return None
    return _active.begin_request(header("traceparent"), header("tracestate"), request_id)


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """A span within that of the current request; nothing outside of a request."""
    return _nothing if _active is None else _active.span(name, attributes)


def statements_of(events: Sequence[DomainEvent]) -> list[Statement]:
    """What must be stored with these events, so that other processes find their trace."""
    if _active is None or not events:
        return []
    trace = _active.current_trace()
    request_id = events[0].request_id
    if trace is None or trace == _active.root_trace(request_id):
        return []
    return [statement_to_store(request_id, trace)]


def note_appended(events: Iterable[DomainEvent]) -> None:
    """Make a span for each stored event of the current request."""
    if _active is not None:
        for event in events:
            _active.note_event(event.event_id, event.tag)


def now() -> int:
    """The time for `note_handled`; 0 without tracing."""
    return 0 if _active is None else _active.now()


def note_handled(conn: Connection, step: Step, states: Iterable[bytes], began_at: int) -> None:
    """Make a span for each of these stored events, which were handled since `began_at`.

    Raises nothing, and does not abort a transaction: a batch does not fail on account of its spans.
    """
    if _active is None:
        return
    try:
        oldest = datetime.now(UTC) - NEWEST
        events = [event for event in map(_event_of, states) if event.occurred_at >= oldest]
        with conn.transaction():
            trace_of = traces_of(conn, (event.request_id for event in events))
        for event in events:
            _active.note_step(step, trace_of(event.request_id), event.event_id, event.type, began_at)
    except Exception as error:
        _failures.add(error)


def traces_of(conn: Connection, request_ids: Iterable[str]) -> Lookup:
    """A function from a request id to its trace.

    Without tracing it reads nothing, and every trace follows from its request id and is sampled.
    """
    if _active is None:
        return Trace.of_request
    active, wanted = _active, set(request_ids)
    stored = read_traces(conn, wanted) if wanted else {}
    return lambda request_id: stored.get(request_id) or active.root_trace(request_id)


def traceparents_of(conn: Connection, events: Iterable[DomainEvent]) -> dict[str, str]:
    """The traceparents of these events by event id; none without tracing."""
    if _active is None:
        return {}
    found = list(events)
    trace_of = traces_of(conn, (event.request_id for event in found))
    return {event.event_id: trace_of(event.request_id).traceparent(event.event_id) for event in found}


def begin_post(parent: str | None, attributes: dict[str, str | int]) -> ClientSpan | None:
    """Begin the span of a post to a webhook; `parent` is the traceparent of its event, None without one."""
    return None if _active is None or parent is None else _active.begin_post(parent, attributes)
