"""All followers of the log together: what they have received in a window, and how far they are behind."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import psycopg

from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK, Site
from tests.chaos.api import Api
from tests.chaos.followers import ChangeFeed, Consumer, EventFeed, digest, to_posted
from tests.chaos.history_checker import Posted, Streamed
from tests.chaos.installation import PREFIX, Installation
from tests.chaos.load import BULK_CATEGORY
from tests.support.receivers import Receiver
from tests.support.webhooks import SECRET

WEBHOOKS = ("/one", "/two")
STATEMENT_SECONDS = 600


class Watchers:
    """Followers that begin at the position `began_at` of the log. Use them in a `with` block."""

    def __init__(self, system: Installation, api: Api, receiver: Receiver, began_at: int) -> None:
        self.changes = ChangeFeed(api.base_url, api.key, began_at)
        self.consumer = Consumer(system.kafka_servers_of_tests, PREFIX, Path(system.home))
        self.receiver = receiver
        self._events = EventFeed(api.base_url, api.key, began_at)
        self._dsn = system.dsn
        self._taken_records = self._taken_events = self._taken_setbacks = 0
        self._posted: set[tuple[str, str, bytes]] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Watchers:
        for each in (self._events, self.changes, self.consumer):
            self._stack.enter_context(each)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take_events(self) -> list[tuple[int, str]]:
        """What the feed of events has returned since the last window."""
        new = self._events.events[self._taken_events :]
        self._taken_events += len(new)
        return new

    def take_records(self) -> list[Streamed]:
        """The records that have arrived since the last window."""
        new = self.consumer.records[self._taken_records :]
        self._taken_records += len(new)
        return new

    def take_setbacks(self) -> list[str]:
        new = self.changes.setbacks[self._taken_setbacks :]
        self._taken_setbacks += len(new)
        return new

    def take_posts(self) -> list[Posted]:
        """The posts since the last window; not those that repeat one of an earlier window."""
        posts, self.receiver.posts = self.receiver.posts, []
        new = [post for post in posts if (post.path, post.id, digest(post.body)) not in self._posted]
        self._posted |= {(post.path, post.id, digest(post.body)) for post in posts}
        return [to_posted(post) for post in new]

    def find_behind(self, after: int) -> tuple[int, list[str]]:
        """The end of the log, and who has not reached it; `after` is where the window began."""
        try:
            with connect(self._dsn, application="tests", limit_seconds=STATEMENT_SECONDS) as conn:
                positions = conn.execute(_POSITIONS, [after, BULK_CATEGORY]).fetchone()
        except psycopg.Error as error:
            return after, [f"PostgreSQL: {error}"]
        assert positions is not None
        end, projected, published, expected, pending = positions
        reached = {
            "projector": projected,
            "relay": published,
            "feed of events": self._events.reached,
            "feed of changes": self.changes.reached,
            "consumer": self.consumer.reached,
        }
        late = [f"{name} at {position} of {end}" for name, position in reached.items() if position < end]
        posted = len({(post.path, post.id) for post in list(self.receiver.posts)})
        if pending or posted < expected * len(WEBHOOKS):
            late.append(f"{pending} deliveries pending, {posted} of {expected * len(WEBHOOKS)} posted")
        return end, late


def register_webhooks(site: Site, system: Installation) -> None:
    """Register WEBHOOKS for all events of tickets, except those of bulk requests."""
    for path in WEBHOOKS:
        body = {
            "url": system.receiver_url(path),
            "events": ["ticket.*"],
            "secret": SECRET,
            "filter": {"category": {"in": [LEAK["category"]]}},
        }
        answer = site.client().post("/v1/webhooks", json=body)
        if answer.status_code != 201:
            raise RuntimeError(f"the webhook was refused: {answer.text}")


_POSITIONS = """
    SELECT (SELECT coalesce(max(notification_id), 0) FROM es.stored_events),
           (SELECT position FROM read.projector_position),
           (SELECT coalesce(max(position), 0) FROM relay.position),
           (SELECT count(*) FROM es.stored_events
             WHERE notification_id > %s AND topic LIKE 'ticket.%%'
               AND NOT (topic = 'ticket.opened'
                        AND convert_from(state, 'UTF8')::jsonb ->> 'category' = %s)),
           (SELECT count(*) FROM hook.deliveries WHERE status = 'pending')
"""
