"""/v1/events: the event log as a feed, for clients that do not use Kafka."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http.bodies import respond
from api.http.draining import draining
from api.http.paging import MAX_NUMBER
from api.http.queries import read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1.examples import EVENT
from event_stream.feed import read_feed, wait_for_feed

MAX_EVENTS = 1_000
MAX_WAIT_SECONDS = 25
THREADS_FOR_EACH_WAITER = 4

DESCRIPTION = f"""\
All events, in the order of the log. No event appears later at a position below one that was returned. Events
are CloudEvents 1.0 in JSON format, the same as the records in Kafka; `dataschema` is the address of the JSON
Schema of `data`. Send the first request without `after`, and each further one with `after` set to the
`position` of the previous answer.

With `wait` the server answers as soon as there is an event, or without events after this number of seconds,
at most {MAX_WAIT_SECONDS}. If too many requests are waiting, it answers immediately. An answer has at most
about 4 MB. Names, e-mail addresses and phone numbers in `data` are encrypted.
"""


class FeedQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    after: Annotated[
        int, Meta(ge=0, le=MAX_NUMBER, description="The position of the last event you have")
    ] = 0
    limit: Annotated[
        int, Meta(ge=1, le=MAX_EVENTS, description="The maximum number of events in the answer")
    ] = 100
    wait: Annotated[
        int, Meta(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait if there is no event")
    ] = 0


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event. `sequence` is its position with 20 digits. `ticketversion` is its version in its aggregate:
    1, 2, 3 and so on. `id` is the same each time the event is read."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    dataschema: str
    sequence: str
    ticketversion: str
    partitionkey: str
    traceparent: str
    data: dict[str, Any]


class EventFeed(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is the value of `after` for the next request. `has_more`: whether there are more events."""

    events: list[CloudEvent]
    position: int
    has_more: bool


class Events(Resource):
    """Serves the feed."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read or follow all events",
            description=DESCRIPTION,
            roles="admin, with a key that is not restricted to properties",
            scope="audit:read",
            query=FeedQuery,
            answer=EventFeed,
            answer_example={"events": [EVENT], "position": 42, "has_more": False},
            errors=("forbidden",),
        )
    }

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        # A waiting request occupies a thread; other requests need threads too.
        self._waiters = threading.BoundedSemaphore(
            max(1, services.settings.threads // THREADS_FOR_EACH_WAITER)
        )

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        caller.require("admin", "read all events")
        caller.require_full_reach("read all events")
        query = read_query(req, FeedQuery)
        pool, source = self.services.pool, self.services.settings.base_url
        if query.wait and self._waiters.acquire(blocking=False):
            try:
                page = wait_for_feed(
                    pool, query.after, query.limit, source=source, seconds=query.wait, stop=draining
                )
            finally:
                self._waiters.release()
        else:
            page = read_feed(pool, query.after, query.limit, source=source)
        respond(resp, {"events": page.events, "position": page.position, "has_more": page.has_more})
