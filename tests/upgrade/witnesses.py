"""The clients that follow the log during the drill, and the evidence that they and the database give."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from infrastructure.storage.postgres import connect, fetch_value
from tests.chaos.api import Api
from tests.chaos.evidence import Log, read_files
from tests.chaos.followers import ChangeFeed, Consumer, EventFeed, digest, to_posted
from tests.chaos.history_checker import Evidence
from tests.chaos.load import FILE
from tests.chaos.operations import Operation
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.receivers import Receiver
from tests.support.waiting import eventually
from tests.upgrade.system import System

WEBHOOK = "/hook"
SETTLE_SECONDS = 600
_END = "SELECT coalesce(max(notification_id), 0) FROM es.stored_events"
_SCHEMAS = "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^read' ORDER BY nspname"
_POSITIONS = """
    SELECT (SELECT max(notification_id) FROM es.stored_events),
           (SELECT position FROM {schema}.projector_position),
           (SELECT coalesce(max(position), 0) FROM relay.position),
           (SELECT count(*) FROM hook.deliveries WHERE status = 'pending'),
           (SELECT count(*) FROM es.stored_events WHERE topic LIKE 'ticket.%')
"""


class Kafka(NamedTuple):
    """Where the relay publishes."""

    servers: str
    prefix: str


class Witnesses:
    """Both feeds, a consumer of the topic and a webhook receiver. Use them in a `with` block."""

    def __init__(self, system: System, api: Api, receiver: Receiver, kafka: Kafka) -> None:
        self._dsn = system.dsn
        self._api = api
        self._receiver = receiver
        with connect(self._dsn, application="tests") as conn:
            self._began_at: int = fetch_value(conn, _END, default=0)
        self._events = EventFeed(api.base_url, api.key, self._began_at)
        self._changes = ChangeFeed(api.base_url, api.key, self._began_at)
        self._consumer = Consumer(kafka.servers, kafka.prefix, system.home)
        self._stack = ExitStack()

    def __enter__(self) -> Witnesses:
        for each in (self._events, self._changes, self._consumer):
            self._stack.enter_context(each)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settle(self) -> None:
        """Wait until every follower has reached the end of the log."""
        behind: list[str] = []

        def is_settled() -> bool:
            behind[:] = self._find_behind()
            return not behind

        eventually(is_settled, SETTLE_SECONDS, message=lambda: f"behind: {', '.join(behind)}")

    def gather(self, operations: list[Operation], problems: list[str]) -> Evidence:
        """The evidence of the whole drill. How late answers are is judged elsewhere."""
        with connect(self._dsn, application="tests", limit_seconds=SETTLE_SECONDS) as conn:
            log = Log(conn, self._began_at, fetch_value(conn, _END, default=0))
            rows, folded = stored_rows(conn, schema=self._schema()), folded_rows(conn)
        return Evidence(
            operations=operations,
            log=log.events,
            feed=self._events.events,
            records=self._consumer.records,
            posts=[to_posted(post) for post in self._receiver.posts],
            webhooks=(WEBHOOK,),
            not_posted=frozenset(log.not_posted),
            rows=rows,
            folded=folded,
            differences=[],
            copy=self._changes.copy,
            setbacks=self._changes.setbacks,
            files=read_files(self._api, operations),
            content=digest(FILE),
            counted=None,
            may_break=True,
            problems=problems,
        )

    def _find_behind(self) -> list[str]:
        """Who has not reached the end of the log."""
        with connect(self._dsn, application="tests") as conn:
            positions = conn.execute(_POSITIONS.format(schema=self._schema())).fetchone()
        assert positions is not None
        end, projected, published, pending, expected = positions
        reached = {
            "projector": projected,
            "relay": published,
            "feed of events": self._events.reached,
            "feed of changes": self._changes.reached,
            "consumer": self._consumer.reached,
        }
        late = [f"{name} at {position} of {end}" for name, position in reached.items() if position < end]
        posted = len({post.id for post in list(self._receiver.posts)})
        if pending or posted < expected:
            late.append(f"{pending} deliveries pending, {posted} of {expected} posted")
        return late

    def _schema(self) -> str:
        """The schema of the read tables: one, as those of the other version are gone."""
        with connect(self._dsn, application="tests") as conn:
            ((schema,),) = conn.execute(_SCHEMAS).fetchall()
        return str(schema)
