"""A collector of traces: receives OTLP over HTTP on loopback and decodes the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import eventually


class CollectedSpan(NamedTuple):
    """One span. Ids are in hex digits; `parent_id` is empty for a root."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]


class Collector:
    """Records the spans it receives. `text` is everything that it received. While it is `silent`, it does not
    answer."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[CollectedSpan] = []
        self.text = ""
        self.requests = 0
        self.silent = threading.Event()
        self.stopping = threading.Event()

    def wait_for(self, *names: str) -> dict[str, CollectedSpan]:
        """The spans with these names, by name, once all have arrived."""
        eventually(
            lambda: set(names) <= {span.name for span in self.spans},
            message=lambda: f"{set(names) - {span.name for span in self.spans}} did not arrive",
        )
        return {span.name: span for span in self.spans if span.name in names}

    def take(self, body: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(body)
        self.text += str(message)
        for resource in message.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_collected(service, span) for span in scope.spans]


@contextmanager
def running_collector() -> Iterator[Collector]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.collector
    finally:
        server.collector.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector.requests += 1
        if collector.silent.is_set():
            collector.stopping.wait()
            return
        collector.take(body)
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def _collected(service: str, span: Any) -> CollectedSpan:
    return CollectedSpan(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}
