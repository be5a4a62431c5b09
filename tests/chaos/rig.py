"""The rig: load, one fault after the other, and the checks after each."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import NamedTuple

from infrastructure.storage.postgres import Connection, connect, fetch_value
from tests.acceptance.site import Site
from tests.chaos.api import Api, wait
from tests.chaos.evidence import Log, read_files
from tests.chaos.faults import Fault
from tests.chaos.followers import EventFeed, digest
from tests.chaos.history_checker import Evidence, Posted, check, is_slow_machine
from tests.chaos.installation import Installation, Kind
from tests.chaos.load import FILE, Load
from tests.chaos.operations import WRITES, Operation
from tests.chaos.recovery import Probe, Recovery
from tests.chaos.watchers import STATEMENT_SECONDS, WEBHOOKS, Watchers, register_webhooks
from tests.support.commands import environment, ticketing
from tests.support.read_tables import OF_A_TICKET, Rows, stored_rows
from tests.support.receivers import Receiver

READY_SECONDS = 180
SETTLE_SECONDS = 240
VERIFY_SECONDS = 1_800
BEFORE_A_FAULT_SECONDS = (1.0, 3.0)

Counts = dict[tuple[str, str], int]


class Scale(NamedTuple):
    """The size of the load, and of the API."""

    clients: int = 3
    pause_seconds: float = 0.1
    bulk_clients: int = 3
    workers: int = 2


class Window(NamedTuple):
    """The outcome of one fault, or of the check of the whole run. The numbers are of requests; each item of a
    bulk request counts as one.

    `slow`: of the requests that took more than ANSWER_SECONDS, those for which the machine and not the system
    is the cause.
    """

    fault: str
    violations: dict[str, list[str]]
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    unanswered: int = 0
    slow: int = 0
    recovery_seconds: float | None = None
    recovered_last: str = ""
    has_mended_kafka: bool = False
    seconds: float = 0.0


class Rig:
    """A running installation with its load and followers. Use it in a `with` block."""

    def __init__(self, kind: Kind, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._moments = random.Random(f"rig {seed}")
        self._scale = scale
        self._stack = ExitStack()
        self._receiver = Receiver()
        self._stack.callback(self._receiver.stop)
        self.system = Installation(kind, self._receiver, workers=scale.workers)
        self._stack.callback(self.system.close)
        self._api = Api(self.system.base_url)
        self._window = 0
        self._all: list[Operation] = []
        self._posts: list[Posted] = []
        self._files: dict[str, bytes | None] = {}
        self._may_break = False  # whether a fault has been able to break connections to nginx

    def __enter__(self) -> Rig:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run_window(self, fault: Fault) -> Window:
        """Let the load work, inject the fault, wait for the recovery, and check what happened."""
        began = time.monotonic()
        self._window += 1
        counted, masters = self._api.count_successes(), self._masters()
        self._load.work(self._window)
        time.sleep(self._moments.uniform(*BEFORE_A_FAULT_SECONDS))
        fault.inject(self.system, self._moments)
        recovery = self._probe.recover(self._window)
        operations = self._load.rest()
        probed, problems = self._probe.take()
        problems += self._settle()
        counts = _difference(self._api.count_successes(), counted) if self._masters() == masters else None
        self._may_break |= fault.breaks_connections
        evidence = self._gather([*operations, *probed], counts, fault.breaks_connections, problems)
        self._all += evidence.operations
        self._posts += evidence.posts
        self._files |= evidence.files
        return _judge(fault, evidence, recovery, time.monotonic() - began)

    def check_everything(self) -> tuple[Evidence, dict[str, list[str]]]:
        """Compare the whole run with the log, the topic and the feed read again, and `ticketing verify`."""
        problems = self._settle()
        with self._connect() as conn:
            log = Log(conn, self._began_at, self._end)
            rows = _rows_of_tickets(conn, log.folded_ids)
        feed = EventFeed(self._api.base_url, self._api.key, self._began_at)
        with feed:
            wait(lambda: feed.reached >= self._end, SETTLE_SECONDS)
        evidence = Evidence(
            operations=self._all,
            log=log.events,
            feed=feed.events,
            records=self._watchers.consumer.read_again(),
            posts=self._posts,
            webhooks=WEBHOOKS,
            not_posted=frozenset(log.not_posted),
            rows=rows,
            folded=log.folded(),
            differences=self._verify(),
            copy=dict(self._watchers.changes.copy),
            setbacks=self._watchers.changes.setbacks,
            files=self._files,
            content=digest(FILE),
            counted=None,
            may_break=self._may_break,
            problems=problems,
        )
        return evidence, check(evidence)

    def _begin(self) -> None:
        """Register properties, people, keys and webhooks; start the followers and the load."""
        if not wait(self._api.is_ready, READY_SECONDS):
            raise RuntimeError(f"the API is not ready; the logs are in {self.system.home}")
        site = Site(self.system.dsn, self.system.base_url)
        self._stack.callback(site.pool.close)
        site.populate()
        register_webhooks(site, self.system)
        self._api.key = site.keys["admin"]
        with self._connect() as conn:
            self._began_at = self._end = fetch_value(conn, _END, default=0)
        self._watchers = Watchers(self.system, self._api, self._receiver, self._end)
        self._probe = Probe(self.system, self._api, self._watchers, self._seed)
        self._load = Load(
            self._api.base_url,
            self._api.key,
            clients=self._scale.clients,
            pause_seconds=self._scale.pause_seconds,
            bulk_clients=self._scale.bulk_clients,
            seed=self._seed,
        )
        self._stack.enter_context(self._watchers)
        self._stack.enter_context(self._load)

    def _settle(self) -> list[str]:
        """Wait until every follower has reached the end of the log. Returns what has not."""
        behind: list[str] = []

        def is_settled() -> bool:
            self._new_end, behind[:] = self._watchers.find_behind(self._end)
            return not behind

        return [] if wait(is_settled, SETTLE_SECONDS) else [f"behind: {', '.join(behind)}"]

    def _gather(
        self, operations: list[Operation], counted: Counts | None, may_break: bool, problems: list[str]
    ) -> Evidence:
        """The evidence of the window."""
        with self._connect() as conn:
            log = Log(conn, self._end, self._new_end)
            rows = _rows_of_tickets(conn, log.folded_ids)
        self._end = self._new_end
        ids = {event.ticket_id for event in log.events}
        return Evidence(
            operations=operations,
            log=log.events,
            feed=self._watchers.take_events(),
            records=self._watchers.take_records(),
            posts=self._watchers.take_posts(),
            webhooks=WEBHOOKS,
            not_posted=frozenset(log.not_posted),
            rows=rows,
            folded=log.folded(),
            differences=[],
            copy={ticket_id: self._watchers.changes.copy.get(ticket_id, 0) for ticket_id in ids},
            setbacks=self._watchers.take_setbacks(),
            files=read_files(self._api, operations),
            content=digest(FILE),
            counted=counted,
            may_break=may_break,
            problems=problems,
        )

    def _masters(self) -> list[int]:
        """The process id of the API's master, which counts from zero after each start."""
        return [process.pid for process in self.system.processes("api")[:1]]

    def _verify(self) -> list[str]:
        """The differences that `ticketing verify` finds."""
        variables = environment(DATABASE_URL=self.system.dsn, TICKETING_HOME=str(self.system.product_home))
        done = ticketing("verify", environ=variables, limit_seconds=VERIFY_SECONDS)
        printed = f"{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
        return [] if done.returncode == 0 else [f"ticketing verify: {printed}"]

    def _connect(self) -> Connection:
        return connect(self.system.dsn, application="tests", limit_seconds=STATEMENT_SECONDS)


def _rows_of_tickets(conn: Connection, ids: list[str]) -> Rows:
    return {table: found for table, found in stored_rows(conn, ids).items() if table in OF_A_TICKET}


def _judge(fault: Fault, evidence: Evidence, recovery: Recovery, seconds: float) -> Window:
    keys: dict[str, set[str]] = {"ok": set(), "fail": set(), "unknown": set()}
    for one in evidence.operations:
        if one.kind in WRITES:
            keys[one.outcome].add(one.key)
    return Window(
        fault=fault.name,
        acknowledged=len(keys["ok"]),
        refused=len(keys["fail"]),
        unknown=len(keys["unknown"]),
        unanswered=sum(one.status is None for one in evidence.operations),
        slow=sum(map(is_slow_machine, evidence.operations)),
        recovery_seconds=recovery.seconds,
        recovered_last=recovery.last,
        has_mended_kafka=recovery.has_mended_kafka,
        seconds=seconds,
        violations=check(evidence),
    )


def _difference(after: Counts | None, before: Counts | None) -> Counts | None:
    if after is None or before is None:
        return None
    return {route: number - before.get(route, 0) for route, number in after.items()}


_END = "SELECT coalesce(max(notification_id), 0) FROM es.stored_events"
