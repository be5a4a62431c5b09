"""Clients that record every request and its answer while faults are injected."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import requests

from tests.acceptance.site import LEAK

Kind = Literal["open", "change", "comment", "read"]
Outcome = Literal["ok", "fail", "unknown"]

TICKETS_IN_USE = 6  # few, so that clients change the same tickets
TIMEOUT_SECONDS = 10
IN_PROGRESS = "idempotency_in_progress"


class Operation(NamedTuple):
    """One attempt of a request. `invoked_at` was read before sending it, `returned_at` after its answer or
    failure; all clients share one clock.

    `key` is the Idempotency-Key, which all attempts of a request share; a read has a unique one. `marker` is
    the title or text that is written, unique to the key, or the title that was read. The outcome `unknown`
    means that the write may have been carried out or not.
    """

    client: int
    key: str
    kind: Kind
    ticket_id: str | None
    marker: str
    expected_version: int | None
    invoked_at: float
    returned_at: float
    outcome: Outcome
    status: int | None
    version: int | None


class Clients:
    """`count` threads that make `requests_each` requests each and append every attempt to `history`."""

    def __init__(
        self, base_url: str, key: str, *, count: int, requests_each: int, patience_seconds: float
    ) -> None:
        self.history: list[Operation] = []
        self._base_url = base_url
        self._key = key
        self._requests_each = requests_each
        self._patience_seconds = patience_seconds
        self._tickets: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        self._left = count * requests_each
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """The number of requests still to be made."""
        return self._left

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until all threads have finished."""
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        client = _Client(number, self._base_url, self._key, self.history, self._patience_seconds)
        for _ in range(self._requests_each):
            opened = client.step(self._tickets[-TICKETS_IN_USE:])
            with self._lock:
                self._left -= 1
                self._tickets += [opened] if opened else []


class _Client:
    """One client, with its own random generator, connection and last known versions."""

    def __init__(
        self, number: int, base_url: str, key: str, history: list[Operation], patience_seconds: float
    ) -> None:
        self._number = number
        self._base_url = base_url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._history = history
        self._patience_seconds = patience_seconds
        self._random = random.Random(number)
        self._count = 0
        self._versions: dict[str, int] = {}

    def step(self, tickets: list[str]) -> str | None:
        """Make one request; repeat it while its outcome is unknown. Returns the id of a new ticket."""
        self._count += 1
        choice = self._random.random()
        if not tickets or choice < 0.12:
            return self._write("open", None)
        ticket_id = self._random.choice(tickets)
        if choice < 0.4:
            self._attempt("read", ticket_id, f"read-{self._number}-{self._count}", None)
        elif choice < 0.5:
            self._write("comment", ticket_id)
        else:
            expected = self._versions.get(ticket_id) if choice < 0.85 else None
            self._write("change", ticket_id, expected)
        return None

    def _write(self, kind: Kind, ticket_id: str | None, expected_version: int | None = None) -> str | None:
        key = f"{kind}-{self._number}-{self._count}"
        deadline = time.monotonic() + self._patience_seconds
        answered = self._attempt(kind, ticket_id, key, expected_version)
        while answered.outcome == "unknown" and time.monotonic() < deadline:
            time.sleep(self._random.uniform(0.02, 0.2))  # the client's back-off
            answered = self._attempt(kind, ticket_id, key, expected_version)
        if answered.outcome == "ok" and self._random.random() < 0.15:  # some repeat a request that succeeded
            self._attempt(kind, ticket_id, key, expected_version)
        return answered.ticket_id if kind == "open" and answered.outcome == "ok" else None

    def _attempt(
        self, kind: Kind, ticket_id: str | None, key: str, expected_version: int | None
    ) -> Operation:
        invoked_at = time.monotonic()
        try:
            answer: requests.Response | None = self._send(kind, ticket_id, key, expected_version)
        except requests.RequestException:
            answer = None
        operation = _make_operation(self._number, kind, ticket_id, key, expected_version, invoked_at, answer)
        if operation.outcome == "ok" and operation.ticket_id and operation.version:
            self._versions[operation.ticket_id] = operation.version
        elif operation.status == 412 and ticket_id:
            self._versions.pop(ticket_id, None)  # stale: omit If-Match next time
        self._history.append(operation)
        return operation

    def _send(
        self, kind: Kind, ticket_id: str | None, key: str, expected_version: int | None
    ) -> requests.Response:
        headers = {"Idempotency-Key": key} if kind != "read" else {}
        if expected_version is not None:
            headers["If-Match"] = f'"{expected_version}"'
        calls: dict[Kind, Callable[[], tuple[str, str, dict[str, Any] | None]]] = {
            "open": lambda: ("POST", "/v1/tickets", {**LEAK, "title": key}),
            "change": lambda: ("PATCH", f"/v1/tickets/{ticket_id}", {"title": key}),
            "comment": lambda: ("POST", f"/v1/tickets/{ticket_id}/comments", {"text": key}),
            "read": lambda: ("GET", f"/v1/tickets/{ticket_id}", None),
        }
        method, path, body = calls[kind]()
        return self._session.request(
            method, self._base_url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS
        )


def _make_operation(
    client: int,
    kind: Kind,
    ticket_id: str | None,
    key: str,
    expected_version: int | None,
    invoked_at: float,
    answer: requests.Response | None,
) -> Operation:
    returned_at = time.monotonic()
    status = None if answer is None else answer.status_code
    outcome: Outcome = "unknown"
    marker, version = key, None
    if answer is not None and answer.ok:
        outcome = "ok"
        data = answer.json()["data"]
        if kind != "comment":
            ticket_id, version = data["id"], int(answer.headers["ETag"].strip('"'))
        if kind == "read":
            marker = data["title"]
    elif answer is not None and answer.status_code < 500 and not _is_in_progress(answer):
        outcome = "fail"
    return Operation(
        client,
        key,
        kind,
        ticket_id,
        marker,
        expected_version,
        invoked_at,
        returned_at,
        outcome,
        status,
        version,
    )


def _is_in_progress(answer: requests.Response) -> bool:
    return answer.status_code == 409 and answer.json()["error"]["code"] == IN_PROGRESS
