"""The Python client repeats writes whose connections fail: each is stored once."""

from __future__ import annotations

import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from ticketing_client import Client
from ticketing_client.models import NewTicket

from domain.ticket import TicketOpened
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from tests.acceptance.conftest import site  # noqa: F401 - a fixture

pytestmark = pytest.mark.faults

WRITES = 10_000 if os.environ.get("FAULTS_FULL") == "1" else 300
CLIENTS = 8
FAULTS = 0.1  # of the attempts
UNAVAILABLE = {"status": "error", "error": {"code": "unavailable", "message": "Injected.", "details": {}}}


class FaultyConnections(httpx.HTTPTransport):
    """Real connections of which a share fails: before the request, after it, or with an answer of 503."""

    def __init__(self, seed):
        super().__init__()
        self.chance = random.Random(seed)
        self.injected = Counter()

    def handle_request(self, request):
        fault = self.chance.choice(("reset", "lost answer", "503")) if self.chance.random() < FAULTS else None
        self.injected[fault] += 1
        if fault == "reset":
            raise httpx.ConnectError("injected", request=request)
        if fault == "503":
            return httpx.Response(503, json=UNAVAILABLE, headers={"Retry-After": "0"})
        answer = super().handle_request(request)
        if fault == "lost answer":
            answer.read()
            answer.close()
            raise httpx.ReadError("injected", request=request)
        return answer


def test_no_write_is_lost_or_doubled(site):  # noqa: F811
    transports = [FaultyConnections(seed) for seed in range(CLIENTS)]

    def write(number):
        with Client(site.base_url, site.keys["admin"], transport=transports[number]) as client:
            for item in range(WRITES // CLIENTS):
                ticket = client.create_ticket(NewTicket(title=f"{number}/{item}", property_id="abc123")).data
                yield ticket.id, ticket.title

    with ThreadPoolExecutor(CLIENTS) as executor:
        answered = [
            pair for pairs in executor.map(lambda n: list(write(n)), range(CLIENTS)) for pair in pairs
        ]

    with connect(site.dsn, application="tests") as conn:
        events = [decode(state) for (state,) in conn.execute("SELECT state FROM es.stored_events")]
    stored = sorted((e.originator_id, e.title) for e in events if isinstance(e, TicketOpened))
    assert sorted(answered) == stored
    assert len({title for _, title in answered}) == len(answered) == WRITES // CLIENTS * CLIENTS
    injected = sum((one.injected for one in transports), Counter())
    assert all(injected[kind] > WRITES * FAULTS / 6 for kind in ("reset", "lost answer", "503"))
