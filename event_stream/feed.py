"""The event feed: the same events as in Kafka, read from the log by consumers without Kafka."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from domain.errors import Invalid
from event_stream.envelope import as_cloudevent, to_record
from infrastructure.process.following import Pause
from infrastructure.storage.postgres import Pool, fetch_value, named_queries
from infrastructure.storage.recorder import StoredRow, read_log

MAX_PAGE_BYTES = 4_194_304  # of stored events; a page has at least one
SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25

sql = named_queries(Path(__file__).parent / "sql" / "feed.sql")


class FeedPage(NamedTuple):
    """Events as CloudEvents in JSON format, and the position after which the next page begins. `has_more`:
    more events are stored."""

    events: list[dict[str, str | msgspec.Raw]]
    position: int
    has_more: bool


def read_feed(pool: Pool, after: int, limit: int, *, source: str) -> FeedPage:
    """Up to `limit` events after the position `after`, complete and in order.

    No event will be inserted between them later. Raises Invalid when `after` is beyond the end of the log.
    """
    with pool.connection() as conn:
        rows = read_log(conn, after, limit + 1)
        if not rows and after > 0:
            end = fetch_value(conn, sql["read_end"], default=0)
            if end < after:
                raise Invalid({"after": [f"The after parameter is past the end of the log, {end}."]})
    page = rows[: min(limit, _count_fitting(rows))]
    events = [as_cloudevent(to_record(row, source=source)) for row in page]
    return FeedPage(events, page[-1].position if page else after, len(rows) > len(page))


def wait_for_feed(
    pool: Pool, after: int, limit: int, *, source: str, seconds: float, stop: threading.Event
) -> FeedPage:
    """Read like read_feed, but wait for the next event, at most `seconds` and until `stop` is set.

    Holds no database connection while it waits.
    """
    deadline = time.monotonic() + seconds
    pause = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    page = read_feed(pool, after, limit, source=source)
    while not page.events and (remaining := deadline - time.monotonic()) > 0:
        if stop.wait(min(pause.next_seconds(), remaining)):
            break
        page = read_feed(pool, after, limit, source=source)
    return page


def _count_fitting(rows: list[StoredRow]) -> int:
    """The number of first rows that fit into a page, at least one."""
    free_bytes = MAX_PAGE_BYTES
    for count, row in enumerate(rows):
        free_bytes -= len(row.state)
        if free_bytes < 0:
            return max(1, count)
    return len(rows)
