"""Writes at a fixed rate, from a process of its own, while something else is measured."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any

import msgspec

from benchmarks.http_client import HttpClient
from benchmarks.tickets import FIELDS

THREADS = 16
_STOP_SECONDS = 60


class Written(msgspec.Struct):
    """`late` is the number of writes that began more than a second after they were due. Filled in when the
    block ends."""

    count: int = 0
    per_second: float = 0.0
    late: int = 0
    errors: list[str] = msgspec.field(default_factory=list)


@contextmanager
def steady_writes(base_url: str, key: str, per_second: float) -> Iterator[Written]:
    """Open tickets and change their status in turn, at that rate, during the block. The rate does not depend
    on the answers (open loop), so a slow server does not get fewer writes."""
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_write, args=(child_end, base_url, key, per_second), daemon=True)
    process.start()
    written = Written()
    try:
        parent_end.recv()  # the first write was answered
        yield written
    finally:
        parent_end.send(None)
        if parent_end.poll(_STOP_SECONDS):
            for name, value in parent_end.recv().items():
                setattr(written, name, value)
        process.join(5)
        process.kill()


def _write(pipe: Pipe, base_url: str, key: str, per_second: float) -> None:
    stopping, lock = threading.Event(), threading.Lock()
    counts: dict[str, Any] = {"count": 0, "late": 0, "errors": []}
    began = time.monotonic()

    def work(number: int) -> None:
        client, step, ticket = HttpClient(base_url, key), number, ""
        while not stopping.wait(max(0.0, began + step / per_second - time.monotonic())):
            is_late = time.monotonic() - (began + step / per_second) > 1.0
            try:
                ticket = _write_once(client, ticket)
            except Exception as error:
                with lock:
                    counts["errors"].append(repr(error)[:200])
                client, ticket = HttpClient(base_url, key), ""
            with lock:
                counts["count"] += 1
                counts["late"] += is_late
            step += THREADS

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    _write_once(HttpClient(base_url, key), "")
    pipe.send("started")
    for thread in threads:
        thread.start()
    pipe.recv()
    stopping.set()
    elapsed = time.monotonic() - began
    for thread in threads:
        thread.join(_STOP_SECONDS / 2)
    pipe.send({**counts, "per_second": counts["count"] / elapsed, "errors": counts["errors"][:5]})


def _write_once(client: HttpClient, ticket: str) -> str:
    """Open a ticket and return its id, or change the status of this one and return ""."""
    if ticket:
        client.request("PATCH", f"/v1/tickets/{ticket}", {"status": "in_progress"})
        return ""
    answer = client.request("POST", "/v1/tickets", {**FIELDS, "requester_id": "user789"}, expect=201)
    return str(json.loads(answer)["data"]["id"])
