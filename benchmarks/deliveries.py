"""Measures the deliveries of new tickets: from the first POST through the API to the last arrival."""

from __future__ import annotations

import itertools
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.http_client import HttpClient
from benchmarks.receivers import Receiver, running_receiver
from benchmarks.report import Report, Table
from benchmarks.tickets import FIELDS, benchmark_context
from commands.values import ValidValues
from commands.webhooks import NewWebhook, delete_webhook, register_webhook
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, connect, make_pool
from tests.support.commands import TICKETING, environment
from tests.support.server import running_api
from tests.support.vault import VAULT

WORKERS = 4
OTHERS = ("webhook-dispatcher", "notary")
WARM_UP_TICKETS = 50
POSTER_CONNECTIONS = 32
POSTER_POSTS = 10_000
BODY_BYTES = 900  # of the post of a new ticket
SETTLE_SECONDS = 1.0  # for what a process does after the last arrival
_BACKENDS = """
SELECT pid, split_part(application_name, '/', 1) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'ticketing%'
"""


class Case(NamedTuple):
    tickets: int
    webhooks: int

    def __str__(self) -> str:
        return f"{self.tickets:,} tickets to {self.webhooks} webhook{'s'[: self.webhooks > 1]}"


class Result(NamedTuple):
    """`milliseconds`: processor time by process, for each delivery."""

    deliveries_per_second: float
    tickets_seconds: float
    last_delivery_seconds: float
    milliseconds: dict[str, float]


# Deliveries a second of the Svix server 1.100 (Rust, PostgreSQL, Redis) on the machine of the measurements.
SVIX = {Case(500, 20): 3_780, Case(1_500, 1): 870}
CASES = tuple(SVIX)


def measure_deliveries(dsn: str, clients: int, rounds: int) -> Report:
    """The deliveries per second of each case, and where the processor time goes."""
    key = _prepare(dsn)
    found: dict[Case, tuple[list[Result], float]] = {}
    for case in CASES:
        with running_receiver() as receiver:
            with registered(dsn, receiver, case.webhooks), running_system(dsn) as base_url:
                run = Run(dsn, base_url, key, receiver, clients)
                run.measure(Case(WARM_UP_TICKETS, case.webhooks))
                results = [run.measure(case) for _ in range(rounds)]
            found[case] = results, post_without_work(receiver, POSTER_POSTS)
    return _make_report(found)


class Run:
    """Posts tickets and waits for their deliveries, on a system that is running."""

    def __init__(self, dsn: str, base_url: str, key: str, receiver: Receiver, clients: int) -> None:
        self._dsn = dsn
        self._receiver = receiver
        self._clients = [HttpClient(base_url, key) for _ in range(clients)]

    def measure(self, case: Case) -> Result:
        """Post the tickets of a case from all clients at the same time."""
        with connect(self._dsn, application="benchmarks") as conn:
            self._receiver.take()
            before = processor_seconds(conn)
            began = time.monotonic()
            self._post(case.tickets)
            posted = time.monotonic()
            arrivals = self._receiver.wait_for_count(case.tickets * case.webhooks)
            time.sleep(SETTLE_SECONDS)
            after = processor_seconds(conn)
        assert len({(each.path, each.ticket_id) for each in arrivals}) == case.tickets * case.webhooks
        seconds = max(each.at for each in arrivals) - began
        used = {name: after[name] - before.get(name, 0.0) for name in after}
        return Result(
            len(arrivals) / seconds,
            posted - began,
            seconds,
            {name: 1_000 * spent / len(arrivals) for name, spent in used.items()},
        )

    def _post(self, tickets: int) -> None:
        numbers = itertools.count()  # next() of it is atomic
        body = {**FIELDS, "requester_id": "user789"}

        def post(client: HttpClient) -> None:
            while next(numbers) < tickets:
                client.request("POST", "/v1/tickets", body, expect=201)

        with ThreadPoolExecutor(len(self._clients)) as executor:
            list(executor.map(post, self._clients))


def processor_seconds(conn: Connection) -> dict[str, float]:
    """The processor time of each process of the system so far, and of its sessions in PostgreSQL."""
    processes: dict[str, list[psutil.Process]] = {}
    for pid, name in conn.execute(_BACKENDS):
        processes.setdefault(f"PostgreSQL: {name.removeprefix('ticketing-')}", []).append(psutil.Process(pid))
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        if str(TICKETING) in words:
            processes.setdefault(words[-1], []).append(process)
        elif any("spawn_main" in word for word in words):
            processes.setdefault("receiver", []).append(process)
    return {name: sum(map(_seconds_of, some)) for name, some in sorted(processes.items())}


def _seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def post_without_work(receiver: Receiver, posts: int) -> float:
    """The posts per second that the receiver answers when they need no work: prepared bytes on sockets that
    stay open. An upper limit of any dispatcher."""
    body = b'{"data":{"id":"' + b"x" * BODY_BYTES + b'"}}'
    request = b"POST /0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    sockets = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(POSTER_CONNECTIONS)]
    receiver.take()
    began = time.monotonic()
    for _ in range(posts // POSTER_CONNECTIONS):
        for each in sockets:
            each.sendall(request)
        for each in sockets:
            each.recv(1_024)
    seconds = time.monotonic() - began
    for each in sockets:
        each.close()
    return len(receiver.take()) / seconds


@contextmanager
def registered(dsn: str, receiver: Receiver, webhooks: int) -> Iterator[None]:
    """Register so many webhooks of the receiver, and delete them afterwards."""
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        ids = [register(store, receiver.url(f"/{number}")) for number in range(webhooks)]
        yield
        for webhook_id in ids:
            delete_webhook(store, webhook_id, benchmark_context())


def register(store: EventStore, url: str) -> str:
    values = ValidValues(NewWebhook(url=url, events=("ticket.created",), secret="benchmark-secret"))
    return register_webhook(store, values, benchmark_context(), vault=VAULT, allow_private=True).id


def running_system(dsn: str) -> AbstractContextManager[str]:
    """The URL of the API, with every process that `make run` starts."""
    allowed = {"WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}
    return running_api(dsn, workers=WORKERS, others=OTHERS, forked=False, **allowed)


def _make_report(found: dict[Case, tuple[list[Result], float]]) -> Report:
    rows = []
    for case, (results, limit) in found.items():
        rates = [result.deliveries_per_second for result in results]
        stored, last = (
            statistics.median(getattr(result, name) for result in results)
            for name in ("tickets_seconds", "last_delivery_seconds")
        )
        shown = [f"{rate:,.0f}" for rate in (statistics.median(rates), min(rates), max(rates))]
        verdict = "reached" if statistics.median(rates) >= SVIX[case] else "missed"
        shown[0] += f" (>= {SVIX[case]:,}), {verdict}"
        rows.append([str(case), *shown, f"{stored:.2f}", f"{last:.2f}", f"{limit:,.0f}"])
    columns = (
        "case", "deliveries/s", "lowest", "highest", "tickets stored after s", "last delivery after s",
        "a poster without work, posts/s",
    )  # fmt: skip
    figures = {str(case): [result._asdict() for result in results] for case, (results, _) in found.items()}
    return Report(
        tables=[
            Table("Deliveries of new tickets, medians", columns, rows),
            _tabulate_costs({case: results for case, (results, _) in found.items()}),
        ],
        figures={"deliveries": figures},
    )


def _tabulate_costs(found: dict[Case, list[Result]]) -> Table:
    names = sorted({name for results in found.values() for name in results[0].milliseconds})
    columns = [
        [statistics.median(result.milliseconds.get(name, 0.0) for result in results) for name in names]
        for results in found.values()
    ]
    rows = [[name, *(f"{each:.3f}" for each in row)] for name, *row in zip(names, *columns, strict=True)]
    rows.append(["all", *(f"{sum(column):.3f}" for column in columns)])
    return Table("Milliseconds of processor time per delivery", ("process", *map(str, found)), rows)


def _prepare(dsn: str) -> str:
    """Load demo data, and return the API key of an admin."""
    settings = environment(DATABASE_URL=dsn, TICKETING_HOME=str((Path(".ticketing") / "bench").resolve()))
    _run_command(settings, "demo", "load", "--tickets", "100")
    return _run_command(
        settings, "key", "create", "--name", "bench", "--role", "admin", "--rate-limit", "unlimited"
    )


def _run_command(settings: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([TICKETING, *arguments], env=settings, check=True, capture_output=True, text=True)
    return done.stdout.strip()
