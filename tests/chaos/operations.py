"""What a client of the load has asked for, and what it was answered."""

from __future__ import annotations

import time
from typing import Any, Literal, NamedTuple

import requests

Kind = Literal["open", "change", "comment", "upload", "bulk", "bulk_open", "read", "list"]
Outcome = Literal["ok", "fail", "unknown"]

WRITES: tuple[Kind, ...] = ("open", "change", "comment", "upload", "bulk_open")
TIMEOUT_SECONDS = 8.0  # of a client: longer than a request may take, to see by how much it is late
IN_PROGRESS = "idempotency_in_progress"


class Operation(NamedTuple):
    """One attempt of a request. `invoked_at` was read before sending it, `returned_at` after its answer or
    failure; all clients share one clock.

    `key` is the Idempotency-Key, which all attempts of a request share; a read has a unique one. `marker` is
    the title, text or file name that is written, unique to the key, or the title that was read. The outcome
    `unknown` means that the write may have been carried out or not. `status` is None without an answer.
    `late_seconds`: for how long the machine did not run a thread meanwhile that wanted to run (pace.py).

    A bulk request is an operation of the kind `bulk`, which writes nothing, and one of the kind `bulk_open`
    for each of its items.
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
    retry_after: str | None = None
    late_seconds: float = 0.0


class Call(NamedTuple):
    """A request to send."""

    kind: Kind
    key: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    ticket_id: str | None = None
    expected_version: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.kind in ("read", "list") else {"Idempotency-Key": self.key}
        return headers | ({} if self.expected_version is None else {"If-Match": f'"{self.expected_version}"'})


def to_operations(
    client: int, call: Call, invoked_at: float, answer: requests.Response | None, late_seconds: float
) -> list[Operation]:
    """The operation of the call with its outcome; of a bulk request also those of its items."""
    outcome = _outcome_of(answer)
    ticket_id, marker, version = call.ticket_id, call.key, None
    if answer is not None and outcome == "ok" and call.kind in ("open", "change", "read"):
        data = answer.json()["data"]
        ticket_id, version = data["id"], int(answer.headers["ETag"].strip('"'))
        marker = data["title"] if call.kind == "read" else marker
    done = Operation(
        client,
        call.key,
        call.kind,
        ticket_id,
        marker,
        call.expected_version,
        invoked_at,
        time.monotonic(),
        outcome,
        None if answer is None else answer.status_code,
        version,
        None if answer is None else answer.headers.get("Retry-After"),
        late_seconds,
    )
    return [done, *_items(done, call, answer)] if call.kind == "bulk" else [done]


def _items(done: Operation, call: Call, answer: requests.Response | None) -> list[Operation]:
    """The items of a bulk request."""
    assert call.body is not None
    keys = [f"{call.key}/{number}" for number in range(len(call.body["operations"]))]
    if done.outcome != "ok" or answer is None:
        return [done._replace(kind="bulk_open", key=key, marker=key) for key in keys]
    return [
        done._replace(
            kind="bulk_open",
            key=key,
            marker=key,
            ticket_id=result["data"]["id"] if result["status"] == 201 else None,
            outcome="ok" if result["status"] == 201 else "fail",
            status=result["status"],
            version=1 if result["status"] == 201 else None,
        )
        for key, result in zip(keys, answer.json()["data"], strict=True)
    ]


def _outcome_of(answer: requests.Response | None) -> Outcome:
    if answer is None or answer.status_code >= 500 or _is_in_progress(answer):
        return "unknown"
    return "ok" if answer.ok else "fail"


def _is_in_progress(answer: requests.Response) -> bool:
    return answer.status_code == 409 and answer.json()["error"]["code"] == IN_PROGRESS
