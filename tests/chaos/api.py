"""The rig's own view of the API: single reads, outside of the load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 10
ANSWER_SECONDS = 60  # in which a recovered system answers
POLL_SECONDS = 0.05
COUNTED = "ticketing_http_requests_total"


class Api:
    """Reads as an admin, once there is a key."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.key = ""

    def is_ready(self) -> bool:
        return self.get("/health/ready") is not None

    def get(self, path: str) -> Any:
        """The JSON of a successful answer, or None."""
        answer = self._ask(self.base_url + path)
        return None if answer is None else answer.json()

    def get_in_time(self, path: str) -> Any:
        """The JSON of the first successful answer within ANSWER_SECONDS, or None."""
        answer = self._ask_in_time(self.base_url + path)
        return None if answer is None else answer.json()

    def download_in_time(self, url: str) -> bytes | None:
        """What an address of a file returns within ANSWER_SECONDS, or None."""
        answer = self._ask_in_time(url)
        return None if answer is None else answer.content

    def count_successes(self) -> dict[tuple[str, str], int] | None:
        """The number of 2xx answers by method and route, of all workers; None if the API does not answer."""
        answer = self._ask(self.base_url + "/metrics")
        if answer is None:
            return None
        counts: Counter[tuple[str, str]] = Counter()
        lines = [line for line in answer.text.splitlines() if line.startswith(COUNTED)]
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if sample.labels["status"].startswith("2"):
                    counts[sample.labels["method"], sample.labels["route"]] += int(sample.value)
        return counts

    def _ask_in_time(self, url: str) -> requests.Response | None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while (answer := self._ask(url)) is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return answer

    def _ask(self, url: str) -> requests.Response | None:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with suppress(requests.RequestException):
            answer = requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
            return answer if answer.ok else None
        return None


def wait(condition: Callable[[], bool], within: float) -> bool:
    """Whether the condition has become true within the seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
