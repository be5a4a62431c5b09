"""How long the system takes after a fault until everything works: a write, a list, the topic and webhooks."""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from tests.acceptance.site import LEAK
from tests.chaos.api import Api, wait
from tests.chaos.installation import Installation
from tests.chaos.load import Sender
from tests.chaos.operations import Call, Operation
from tests.chaos.watchers import WEBHOOKS, Watchers

LIMIT_SECONDS = 180
MEND_SECONDS = 90  # after which an operator looks at Kafka
PROBE = 1_000  # the number of the client that probes
_LIST = f"/v1/tickets?per_page=100&category={LEAK['category']}"


class Recovery(NamedTuple):
    """The seconds until everything worked, or None; what worked last; whether Kafka was started by hand."""

    seconds: float | None
    last: str
    has_mended_kafka: bool = False


class Probe:
    """A client that opens a ticket after each fault, and looks for it."""

    def __init__(self, system: Installation, api: Api, watchers: Watchers, seed: int) -> None:
        self.problems: list[str] = []
        self._operations: list[Operation] = []
        self._system = system
        self._api = api
        self._watchers = watchers
        self._moments = random.Random(f"probe {seed}")
        self._sender = Sender(PROBE, api.base_url, api.key, self._operations.extend)

    def recover(self, window: int) -> Recovery:
        """Wait until a write succeeds and is found everywhere, at most LIMIT_SECONDS."""
        began, key = time.monotonic(), f"open-{window}-{PROBE}"
        call = Call("open", key, "POST", "/v1/tickets", {**LEAK, "title": key})
        ticket_id = self._sender.send_until_known(call, self._moments).ticket_id
        if ticket_id is None:
            self.problems.append("no write succeeded after the fault")
            return Recovery(None, "write")
        unseen, last = {"list", "topic", "webhooks"}, "write"

        def is_found() -> bool:
            nonlocal last
            before = set(unseen)
            self._look(ticket_id, unseen)
            last = max(before - unseen, default=last)
            return not unseen

        has_mended = not wait(is_found, MEND_SECONDS) and self._system.mend_kafka()
        if wait(is_found, LIMIT_SECONDS - MEND_SECONDS):
            return Recovery(time.monotonic() - began, last, has_mended)
        self.problems.append(f"not in {', '.join(sorted(unseen))} {LIMIT_SECONDS} s after the fault")
        return Recovery(None, max(unseen), has_mended)

    def take(self) -> tuple[list[Operation], list[str]]:
        """The operations and problems since the last call."""
        taken = list(self._operations), list(self.problems)
        self._operations.clear()
        self.problems.clear()
        return taken

    def _look(self, ticket_id: str, unseen: set[str]) -> None:
        """Remove from `unseen` the places where the ticket has appeared."""
        listed = self._api.get(_LIST) if "list" in unseen else None
        posts = list(self._watchers.receiver.posts)[-2_000:]
        records = self._watchers.consumer.records[-50_000:]
        found = {
            "list": listed is not None and any(row["id"] == ticket_id for row in listed["data"]),
            "topic": any(record.ticket_id == ticket_id for record in records),
            "webhooks": sum(ticket_id.encode() in post.body for post in posts) >= len(WEBHOOKS),
        }
        unseen.difference_update(place for place, has_it in found.items() if has_it)
