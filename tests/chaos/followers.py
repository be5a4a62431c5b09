"""Clients that follow the log while the load runs: two feeds over HTTP, a Kafka consumer, webhooks."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from standardwebhooks.webhooks import Webhook

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.topics import PARTITIONS, events_topic
from tests.chaos.history_checker import Posted, Streamed
from tests.support.receivers import Post
from tests.support.webhooks import SECRET

WAIT_SECONDS = 2
TIMEOUT_SECONDS = 10
PAUSE_SECONDS = 0.1
OLD_SECONDS = 300  # https://github.com/standard-webhooks/standard-webhooks


def digest(data: bytes) -> bytes:
    """A short fingerprint, which is kept instead of the data."""
    return hashlib.blake2b(data, digest_size=16).digest()


class Feed:
    """Follows a feed of the API from `position`, and starts again after errors at the position reached."""

    def __init__(self, name: str, base_url: str, key: str, position: str) -> None:
        self.position = position
        self.failures = 0
        self._url = f"{base_url}/v1/{name}"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self, page: dict[str, Any]) -> None:
        """Handle one answer. Called in the feed's thread."""
        raise NotImplementedError

    @property
    def reached(self) -> int:
        return int(self.position.partition(".")[0])

    def _run(self) -> None:
        while not self._ended.is_set():
            page = self._ask()
            if page is None:
                self.failures += 1
                self._ended.wait(PAUSE_SECONDS)
            else:
                self.take(page)
                self.position = str(page["position"])

    def _ask(self) -> dict[str, Any] | None:
        parameters = {"after": self.position, "limit": "500", "wait": str(WAIT_SECONDS), **self.parameters}
        with suppress(requests.RequestException, ValueError):
            answer = self._session.get(self._url, params=parameters, timeout=TIMEOUT_SECONDS)
            if answer.ok:
                page: dict[str, Any] = answer.json()["data"]
                return page
        return None

    parameters: dict[str, str] = {}


class EventFeed(Feed):
    """GET /v1/events: collects position and id of each event of a ticket."""

    def __init__(self, base_url: str, key: str, position: int) -> None:
        super().__init__("events", base_url, key, str(position))
        self.events: list[tuple[int, str]] = []

    def take(self, page: dict[str, Any]) -> None:
        self.events += [
            (int(event["sequence"]), event["id"])
            for event in page["events"]
            if event["type"].startswith("ticket.")
        ]


class ChangeFeed(Feed):
    """GET /v1/changes: keeps the versions of all tickets. `setbacks` names those that became older."""

    parameters = {"full": "false"}

    def __init__(self, base_url: str, key: str, position: int) -> None:
        super().__init__("changes", base_url, key, str(position))
        self.copy: dict[str, int] = {}
        self.setbacks: list[str] = []

    def take(self, page: dict[str, Any]) -> None:
        for item in page["items"]:
            ticket_id = item["ticket_id"]
            if item["kind"] != "upsert":
                self.setbacks.append(f"{ticket_id} became {item['kind']}")
                continue
            if item["version"] < self.copy.get(ticket_id, 0):
                self.setbacks.append(f"{ticket_id} went back to version {item['version']}")
            self.copy[ticket_id] = item["version"]


class Consumer:
    """Consumes the committed records of the topic, from its beginning, in a thread."""

    def __init__(self, servers: str, prefix: str, home: Path) -> None:
        self.records: list[Streamed] = []
        self.reached = 0  # the highest position of all records, also of those that are not about tickets
        self.failures = 0
        self._settings = Settings(home=home, kafka_bootstrap_servers=servers, kafka_prefix=prefix)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Consumer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def read_again(self) -> list[Streamed]:
        """All committed records, with a new consumer."""
        again = Consumer(str(self._settings.kafka_bootstrap_servers), self._settings.kafka_prefix, Path())
        consumer = again._connect()
        partitions = list(consumer.assignment())
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(each) < end for each, end in ends.items()):
            again._take(consumer.poll(timeout_ms=200))
        consumer.close()
        return again.records

    def _run(self) -> None:
        consumer: KafkaConsumer | None = None
        while not self._ended.is_set():
            try:
                consumer = consumer or self._connect()
                self._take(consumer.poll(timeout_ms=200))
            except (KafkaError, OSError, ValueError):
                self.failures += 1
                self._ended.wait(PAUSE_SECONDS)
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close()

    def _connect(self) -> KafkaConsumer:
        consumer = make_consumer(self._settings, client_id="chaos", max_poll_records=2_000)
        topic = events_topic(self._settings)
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        consumer.seek_to_beginning()
        return consumer

    def _take(self, polled: dict[TopicPartition, list[Any]]) -> None:
        for records in polled.values():
            for record in records:
                headers = dict(record.headers)
                position = int(headers["ce_sequence"])
                if headers["ce_type"].startswith(b"ticket."):
                    state = digest(record.value)
                    self.records.append(Streamed(position, record.key.decode(), record.partition, state))
                self.reached = max(self.reached, position)


def to_posted(post: Post) -> Posted:
    """What the checker needs of a post."""
    message = json.loads(post.body)
    return Posted(
        webhook=post.path,
        message_id=post.id,
        position=message["sequence"],
        ticket_id=message["data"]["id"],
        version=message["version"],
        body=digest(post.body),
        is_signed=_is_signed(post),
    )


def _is_signed(post: Post) -> bool:
    """Whether a public library signs the same, and the signature was not old when the post arrived."""
    signed_at = int(post.headers["webhook-timestamp"])
    arrived_at = time.time() - (time.monotonic() - post.at)
    moment = datetime.fromtimestamp(signed_at, UTC)
    expected = Webhook(SECRET.encode()).sign(post.id, moment, post.body.decode())
    given = post.headers["webhook-signature"].split()
    return expected in given and abs(arrived_at - signed_at) <= OLD_SECONDS
