"""Clients that ask at a steady rate over connections they keep, and note what became of each request."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from typing import Any, NamedTuple
from uuid import uuid4

from tests.acceptance.site import LEAK, Site
from tests.support.waiting import eventually

CONNECTIONS = 10
PER_SECOND = 100  # over all connections
TIMEOUT_SECONDS = 90


class Exchange(NamedTuple):
    """One request and its answer. `status` is None when no answer came; then `trouble` says why.

    `port` is the client's end of the connection, by which the process at the other end is found. `title` is
    what a POST writes.
    """

    asked: str
    status: int | None
    retry_after: str | None
    trouble: str
    port: int
    title: str | None
    seconds: float

    @property
    def is_served(self) -> bool:
        """Whether an answer came, and one that a client can act on: of 5xx only 503 with Retry-After."""
        if self.status is None:
            return False
        return self.status < 500 or (self.status == 503 and self.retry_after is not None)


class SteadyLoad:
    """CONNECTIONS threads that together make PER_SECOND requests a second inside a `with` block.

    In turn they read a ticket, open one, and ask for the two health checks. Every second of the tickets is
    opened with an Idempotency-Key.
    """

    def __init__(self, site: Site, ticket_id: str) -> None:
        self.exchanges: list[Exchange] = []
        self._host = site.base_url.removeprefix("http://")
        self._headers = {"Authorization": f"Bearer {site.keys['admin']}"}
        self._ticket_id = ticket_id
        self._name = uuid4().hex
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CONNECTIONS)]

    def __enter__(self) -> SteadyLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, requests: int) -> None:
        """Return when so many more requests have been made."""
        goal = len(self.exchanges) + requests
        eventually(lambda: len(self.exchanges) >= goal, TIMEOUT_SECONDS)

    def unserved(self, excused_ports: set[int]) -> list[Exchange]:
        """The requests that no client should make in vain: all that were not served, except those without an
        answer on a connection to a process that was killed."""
        return [
            one
            for one in self.exchanges
            if not one.is_served and not (one.status is None and one.port in excused_ports)
        ]

    def titles(self, *, acknowledged: bool) -> set[str]:
        """Of the tickets whose opening was answered 201, or was not."""
        return {one.title for one in self.exchanges if one.title and (one.status == 201) is acknowledged}

    def report(self) -> str:
        slowest = max(one.seconds for one in self.exchanges)
        outcomes = Counter(str(one.status or one.trouble) for one in self.exchanges)
        return f"{len(self.exchanges)} requests, the slowest {slowest:.2f} s: {dict(outcomes)}"

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        due = time.monotonic() + number / PER_SECOND
        for count in itertools.count():
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                break
            due = max(due + CONNECTIONS / PER_SECOND, time.monotonic())
            self.exchanges.append(self._ask(connection, *self._request(number, count)))
        connection.close()

    def _request(self, number: int, count: int) -> tuple[str, str, dict[str, Any] | None, dict[str, str]]:
        kinds = ("read", "open", "live", "ready")
        match kinds[(number + count) % len(kinds)]:
            case "read":
                return "GET", f"/v1/tickets/{self._ticket_id}", None, self._headers
            case "open":
                title = f"{self._name} {number} {count}"
                headers = self._headers | {"Content-Type": "application/json"}
                key = {"Idempotency-Key": title} if count % 8 < len(kinds) else {}
                return "POST", "/v1/tickets", {**LEAK, "title": title}, headers | key
            case health:
                return "GET", f"/health/{health}", None, {}

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        headers: dict[str, str],
    ) -> Exchange:
        began, port = time.monotonic(), 0
        status, retry_after, trouble = None, None, ""
        try:
            if connection.sock is None:
                connection.connect()
            port = connection.sock.getsockname()[1]
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            answer.read()
            status, retry_after = answer.status, answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException) as error:
            trouble = repr(error)
            connection.close()
        seconds = time.monotonic() - began
        title = body["title"] if body else None
        return Exchange(f"{method} {path}", status, retry_after, trouble, port, title, seconds)
