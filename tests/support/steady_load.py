"""Clients that send requests at a steady rate over persistent connections and record every outcome."""

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
PER_SECOND = 100  # all connections together
TIMEOUT_SECONDS = 90


class Exchange(NamedTuple):
    """One request and its answer. `status` is None when no answer came; `error_text` is the reason.

    `port` is the client's port; it identifies the process at the other end of the connection. `title` is what
    a POST writes.
    """

    request: str
    status: int | None
    retry_after: str | None
    error_text: str
    port: int
    title: str | None
    seconds: float

    @property
    def is_served(self) -> bool:
        """Whether a usable answer came: any status below 500, or 503 with Retry-After."""
        if self.status is None:
            return False
        return self.status < 500 or (self.status == 503 and self.retry_after is not None)


class SteadyLoad:
    """CONNECTIONS threads that together send PER_SECOND requests per second inside a `with` block.

    They read a ticket, open a ticket and request the two health checks in turn. Every second ticket is opened
    with an Idempotency-Key.
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

    def wait_for_requests(self, requests: int) -> None:
        """Wait until that many more requests have been answered or have failed."""
        target = len(self.exchanges) + requests
        eventually(lambda: len(self.exchanges) >= target, TIMEOUT_SECONDS)

    def unserved(self, excused_ports: set[int]) -> list[Exchange]:
        """The requests that got no usable answer, except those without any answer on connections to killed
        processes (`excused_ports`)."""
        return [
            one
            for one in self.exchanges
            if not one.is_served and not (one.status is None and one.port in excused_ports)
        ]

    def titles(self, *, acknowledged: bool) -> set[str]:
        """The titles of the tickets whose POST was answered 201, or of the others."""
        return {one.title for one in self.exchanges if one.title and (one.status == 201) is acknowledged}

    def report(self) -> str:
        slowest = max(one.seconds for one in self.exchanges)
        outcomes = Counter(str(one.status or one.error_text) for one in self.exchanges)
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
        status, retry_after, error_text = None, None, ""
        try:
            if connection.sock is None:
                connection.connect()
            port = connection.sock.getsockname()[1]
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            answer.read()
            status, retry_after = answer.status, answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException) as error:
            error_text = repr(error)
            connection.close()
        seconds = time.monotonic() - began
        title = body["title"] if body else None
        return Exchange(f"{method} {path}", status, retry_after, error_text, port, title, seconds)
