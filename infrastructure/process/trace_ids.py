"""W3C trace context of events: the ids follow from request and event, so that every process knows them.

An event has a span of its own in the trace of its request. Without a trace context from the client, the trace
id follows from the request id.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

SAMPLED = 1  # the bit of the trace flags


class Trace(NamedTuple):
    """The trace of a request: its id in 32 hex digits, and whether it is recorded."""

    trace_id: str
    is_sampled: bool = True

    @classmethod
    def of_request(cls, request_id: str, *, is_sampled: bool = True) -> Trace:
        """The trace of a request without a trace context of the client.

        A request id that is a UUID is used as the trace id, so that a trace can be found by the X-Request-Id.
        """
        as_hex = request_id.replace("-", "").lower()
        if not _is_trace_id(as_hex):
            as_hex = hashlib.sha256(b"trace/" + request_id.encode()).hexdigest()[:32]
        return cls(as_hex, is_sampled)

    def traceparent(self, event_id: str) -> str:
        """The header `traceparent` of an event of this request."""
        return f"00-{self.trace_id}-{span_id_of(event_id)}-{SAMPLED if self.is_sampled else 0:02x}"


def span_id_of(event_id: str) -> str:
    """The id of an event's span in 16 hex digits."""
    return hashlib.sha256(b"span/" + event_id.encode()).hexdigest()[:16]


def _is_trace_id(text: str) -> bool:
    return len(text) == 32 and not text.strip("0123456789abcdef") and bool(text.strip("0"))
