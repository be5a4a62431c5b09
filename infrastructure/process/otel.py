"""The spans of one process with OpenTelemetry. tracing.py imports this module when traces are configured.

The SDK reads its settings from the environment: endpoint, headers, timeout, sampler, queue, resource.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from infrastructure.process.failures import FailureLog
from infrastructure.process.observers import observers
from infrastructure.process.trace_ids import Trace, span_id_of

CLOSE_MILLISECONDS = 1_000
SERVER_ERROR = 500
_DISTRIBUTION = "modern-management-ticketing"
_KINDS = {"project": SpanKind.CONSUMER, "publish": SpanKind.PRODUCER, "enqueue": SpanKind.CONSUMER}
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Makes the spans of one process, which is part of the service name."""

    def __init__(self, process: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # _Exporter logs failures
        self._ids = _Ids()
        provider = TracerProvider(
            id_generator=self._ids, resource=_resource_of(process), shutdown_on_exit=False
        )
        provider.sampler = _HashingSampler(provider.sampler)
        self._sampler = provider.sampler
        self._processor = _Processor(_Exporter(OTLPSpanExporter()))
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("ticketing")

    def begin_request(self, traceparent: str | None, tracestate: str | None, request_id: str) -> RequestSpan:
        """Begin the span of a request, which is the current one of this thread until it ends."""
        headers = {"traceparent": traceparent, "tracestate": tracestate}
        carrier = {name: value for name, value in headers.items() if value is not None}
        parent = _propagator.extract(carrier, Context())
        self._ids.use(trace_id=Trace.of_request(request_id).trace_id)
        span = self._tracer.start_span("HTTP", context=parent, kind=SpanKind.SERVER)
        otel_context.attach(set_span_in_context(span, Context()))
        return RequestSpan(span)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[None]:
        """A child of the current span; nothing without one."""
        if not get_current_span().is_recording():
            yield
            return
        with self._tracer.start_as_current_span(name, attributes=dict(attributes), record_exception=False):
            yield

    def current_trace(self) -> Trace | None:
        """The trace of the current request."""
        current = get_current_span().get_span_context()
        return Trace(f"{current.trace_id:032x}", current.trace_flags.sampled) if current.is_valid else None

    def root_trace(self, request_id: str) -> Trace:
        """The trace of a request without a trace context of the client, as every process decides it."""
        trace = Trace.of_request(request_id)
        result = self._sampler.should_sample(Context(), int(trace.trace_id, 16), "HTTP")
        return trace._replace(is_sampled=result.decision is Decision.RECORD_AND_SAMPLE)

    def note_event(self, event_id: str, event_type: str) -> None:
        """Make the span of a stored event, a child of the current span."""
        if get_current_span().is_recording():
            self._ids.use(span_id=span_id_of(event_id))
            attributes = {"messaging.message.id": event_id, "ticketing.event.type": event_type}
            self._tracer.start_span(
                f"create {event_type}", kind=SpanKind.PRODUCER, attributes=attributes
            ).end()

    def note_step(self, step: str, trace: Trace, event_id: str, event_type: str, began_at: int) -> None:
        """Make the span of a step with an event, a child of the event's span, from `began_at` until now."""
        if trace.is_sampled:
            attributes = {"messaging.message.id": event_id, "ticketing.event.type": event_type}
            self._tracer.start_span(
                f"{step} {event_type}",
                context=_context_of(trace.traceparent(event_id)),
                kind=_KINDS[step],
                attributes=attributes,
                start_time=began_at,
            ).end()

    def begin_post(self, parent: str, attributes: Mapping[str, str | int]) -> ClientSpan:
        """Begin the span of a post."""
        context = _context_of(parent)
        return ClientSpan(
            self._tracer.start_span("POST", context=context, kind=SpanKind.CLIENT, attributes=attributes)
        )

    def now(self) -> int:
        return time.time_ns()

    def close(self) -> None:
        """Export what waits, for at most CLOSE_MILLISECONDS."""
        self._processor.close()


class RequestSpan:
    """The span of a request."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, method: str, route: str, status: int, error: str | None) -> None:
        """End the span. Its attributes are those of the request's log line: no values of the client."""
        span = self._span
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if error is not None:
            span.set_attribute("error.type", error)
        if status >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        self.leave()
        span.end()

    def leave(self) -> None:
        """The span is no longer the current one of this thread."""
        otel_context.attach(Context())


class ClientSpan:
    """The span of a post."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = _format(span.get_span_context())

    def end(self, status: int | None, error: str | None) -> None:
        """End the span; `status` is None without an answer."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if error is not None or status is None or status >= 300:
            self._span.set_attribute("error.type", str(status or "no_answer"))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Ids(RandomIdGenerator):
    """Random ids, or those that this thread has set for its next span."""

    def __init__(self) -> None:
        self._next = threading.local()

    def use(self, *, trace_id: str | None = None, span_id: str | None = None) -> None:
        """Use these ids, in hex digits, for the next span of this thread."""
        self._next.trace_id = trace_id
        self._next.span_id = span_id

    def generate_trace_id(self) -> int:
        chosen, self._next.trace_id = getattr(self._next, "trace_id", None), None
        return int(chosen, 16) if chosen else super().generate_trace_id()

    def generate_span_id(self) -> int:
        chosen, self._next.span_id = getattr(self._next, "span_id", None), None
        self._next.trace_id = None  # the span has a parent
        return int(chosen, 16) if chosen else super().generate_span_id()

    def is_trace_id_random(self) -> bool:
        return False


class _HashingSampler(Sampler):
    """Gives a sampler the hash of the trace id. It compares the last 64 bits with its ratio, and those of a
    UUID are not uniformly random."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self, parent_context: Context | None, trace_id: int, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        digest = hashlib.sha256(trace_id.to_bytes(16, "big")).digest()
        return self._sampler.should_sample(
            parent_context, int.from_bytes(digest[:16], "big"), *args, **kwargs
        )

    def get_description(self) -> str:
        return self._sampler.get_description()


class _Exporter(SpanExporter):
    """Counts the spans that the collector accepted, and those that it did not, and logs failures."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failures = FailureLog("traces_not_exported")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            observers.on_spans_exported(len(spans))
        else:
            observers.on_spans_lost(len(spans))
            self._failures.add(spans=len(spans), remedy="Check the endpoint in OTEL_EXPORTER_OTLP_ENDPOINT.")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Processor(BatchSpanProcessor):
    """Counts the spans that are lost because the queue is full, and closes in time."""

    def on_end(self, span: ReadableSpan) -> None:
        batches = self._batch_processor
        if (
            span.context
            and span.context.trace_flags.sampled
            and len(batches._queue) >= batches._max_queue_size
        ):
            observers.on_spans_lost(1)
        super().on_end(span)

    def close(self) -> None:
        """Export what waits, for at most CLOSE_MILLISECONDS; the rest is lost."""
        self._batch_processor.shutdown(timeout_millis=CLOSE_MILLISECONDS)


def _resource_of(process: str) -> Resource:
    """What describes the process. The variables of the SDK take precedence for the name of the service."""
    attributes = {"service.version": version(_DISTRIBUTION)}
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create(attributes if named else attributes | {"service.name": f"ticketing-{process}"})


def _context_of(traceparent: str) -> Context:
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _format(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"
