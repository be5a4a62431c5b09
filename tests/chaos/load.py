"""Clients that send a steady, mixed load through nginx and record every outcome."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import requests

from tests.acceptance.site import LEAK
from tests.chaos.operations import TIMEOUT_SECONDS, Call, Operation, to_operations
from tests.chaos.pace import pace

TICKETS_IN_USE = 6  # few, so that clients change the same tickets
PATIENCE_SECONDS = 120.0
BULK_ITEMS = 100
BULK_CATEGORY = "bulk"  # the webhooks are not about these tickets
RETRY_SECONDS = (0.2, 0.8)
FILE = b"A photo of the leak.\n" * 50


class Load:
    """`clients` threads that make one request after the other, with random pauses, on average of
    `pause_seconds`, and `bulk_clients` threads with bulk requests. `rest` waits until they have finished."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        clients: int,
        pause_seconds: float,
        bulk_clients: int,
        seed: int,
        client_type: type[Client] | None = None,
    ) -> None:
        self.tickets: list[str] = []
        self.window = 0
        self._history: list[Operation] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._works = threading.Event()
        self._busy = 0
        self._idle = threading.Condition()
        makers = [client_type or Client] * clients + [BulkClient] * bulk_clients
        self._clients = [
            make(number, self, base_url, key, pause_seconds, seed) for number, make in enumerate(makers)
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(client,), daemon=True) for client in self._clients
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._works.set()
        for thread in self._threads:
            thread.join()

    def work(self, window: int) -> None:
        """Begin a window, with new tickets."""
        self.window, self.tickets = window, []
        self._works.set()

    def rest(self) -> list[Operation]:
        """Stop the clients after their requests, and return what they did in the window."""
        self._works.clear()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)
        with self._lock:
            done, self._history = self._history, []
        return done

    def record(self, operations: list[Operation]) -> None:
        with self._lock:
            self._history += operations

    @property
    def operations_made(self) -> int:
        """The number of operations of the window up to now."""
        with self._lock:
            return len(self._history)

    @property
    def is_resting(self) -> bool:
        return not self._works.is_set()

    def _run(self, client: Client) -> None:
        while True:
            self._works.wait()
            if self._ended.is_set():
                return
            with self._idle:
                self._busy += 1
            try:
                if not self.is_resting:
                    client.step()
            finally:
                with self._idle:
                    self._busy -= 1
                    self._idle.notify_all()
            self._ended.wait(client.pause())


class Client:
    """One client, with its own random generator, connection and last known versions."""

    def __init__(
        self, number: int, load: Load, base_url: str, key: str, pause_seconds: float, seed: int
    ) -> None:
        self.number = number
        self._load = load
        self._sender = Sender(number, base_url, key, load.record)
        self._pause_seconds = pause_seconds
        self._random = random.Random(f"{seed}-{number}")
        self._count = 0
        self._versions: dict[str, int] = {}

    def pause(self) -> float:
        return self._random.expovariate(1 / self._pause_seconds)

    def step(self) -> None:
        """Make one request; repeat a write while its outcome is unknown."""
        tickets, choice = self._load.tickets[-TICKETS_IN_USE:], self._random.random()
        if not tickets or choice < 0.12:
            opened = self._write(self._open()).ticket_id
            if opened is not None:
                self._load.tickets.append(opened)
            return
        ticket_id = self._random.choice(tickets)
        if choice < 0.3:
            self._sender.send(Call("read", self._key("read"), "GET", f"/v1/tickets/{ticket_id}"))
        elif choice < 0.38:
            query = self._random.choice(("", "?q=leak&status=open", "?sort=updated_at&per_page=50"))
            self._sender.send(Call("list", self._key("list"), "GET", f"/v1/tickets{query}"))
        elif choice < 0.48:
            key = self._key("comment")
            self._write(Call("comment", key, "POST", _parts(ticket_id, "comments"), {"text": key}, ticket_id))
        elif choice < 0.53:
            key = self._key("upload")
            self._write(Call("upload", key, "POST", _parts(ticket_id, "attachments"), None, ticket_id))
        else:
            self._change(ticket_id, choice)

    def _open(self) -> Call:
        key = self._key("open")
        return Call("open", key, "POST", "/v1/tickets", {**LEAK, "title": key})

    def _change(self, ticket_id: str, choice: float) -> None:
        """Change the title; sometimes to one that is refused."""
        key = self._key("change")
        expected = self._versions.get(ticket_id) if choice < 0.9 else None
        body = {"title": key} if choice < 0.97 else {"title": key, "status": "unheard"}
        call = Call("change", key, "PATCH", f"/v1/tickets/{ticket_id}", body, ticket_id, expected)
        done = self._write(call)
        if done.version is not None:
            self._versions[ticket_id] = done.version

    def _write(self, call: Call) -> Operation:
        done = self._sender.send_until_known(call, self._random)
        if done.outcome == "ok" and self._random.random() < 0.1:  # some repeat a request that succeeded
            self._sender.send(call)
        return done

    def _key(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._load.window}-{self.number}-{self._count}"


class BulkClient(Client):
    """A client that opens BULK_ITEMS tickets with each request; one more item is refused."""

    def pause(self) -> float:
        return 10 * super().pause()

    def step(self) -> None:
        key = self._key("bulk")
        items = [
            {"op": "create", "data": {**LEAK, "title": f"{key}/{number}", "category": BULK_CATEGORY}}
            for number in range(BULK_ITEMS - 1)
        ]
        refused = {"op": "create", "data": {"title": f"{key}/{BULK_ITEMS - 1}"}}
        self._write(Call("bulk", key, "POST", "/v1/tickets/bulk", {"operations": [*items, refused]}))


class Sender:
    """Sends calls over one connection, and records them."""

    def __init__(
        self, number: int, base_url: str, key: str, record: Callable[[list[Operation]], None]
    ) -> None:
        self._number = number
        self._base_url = base_url
        self._record = record
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._session.trust_env = False

    def send(self, call: Call) -> Operation:
        """Send the call once."""
        invoked_at, late_seconds = time.monotonic(), pace.late_seconds
        answer: requests.Response | None = None
        files = {"file": (call.key, FILE, "text/plain")} if call.kind == "upload" else None
        with suppress(requests.RequestException):
            answer = self._session.request(
                call.method,
                self._base_url + call.path,
                json=call.body,
                files=files,
                headers=call.headers,
                timeout=TIMEOUT_SECONDS,
            )
        late_seconds = pace.late_seconds - late_seconds
        operations = to_operations(self._number, call, invoked_at, answer, late_seconds)
        self._record(operations)
        return operations[0]

    def send_until_known(self, call: Call, moments: random.Random) -> Operation:
        """Repeat the call, with its Idempotency-Key, until its outcome is known."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (done := self.send(call)).outcome == "unknown" and time.monotonic() < deadline:
            time.sleep(moments.uniform(*RETRY_SECONDS))  # the client's back-off
        return done


def _parts(ticket_id: str, name: str) -> str:
    return f"/v1/tickets/{ticket_id}/{name}"
