"""The drill: from the newest tag to this code under load, one process after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infrastructure.storage.postgres import connect
from tests.chaos.api import Api
from tests.chaos.history_checker import check
from tests.chaos.load import Load
from tests.support.planted_migrations import PLANTED
from tests.support.receivers import running_receiver
from tests.upgrade.load import (
    failed,
    longest_refusal_seconds,
    paced_load,
    per_second,
    slowest_seconds,
    statuses,
    wait_for_operations,
)
from tests.upgrade.system import APIS, System
from tests.upgrade.versions import Version
from tests.upgrade.witnesses import WEBHOOK, Kafka, Witnesses

OLD, NEW = 0, APIS  # the first number of the processes of a version
SHOWN = 5  # of each list
EXPANDED, INDEXED, CONTRACTED = PLANTED
_PLANTED = """
    SELECT (SELECT count(*) FROM pg_attribute WHERE attname = 'planted_note' AND NOT attisdropped),
           (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('es.planted_idx'))
"""


class Scale(NamedTuple):
    """How large a drill is. `pause_requests`: between two steps. `workers`: of each API."""

    per_second: float
    pause_requests: int
    workers: int


class Report(NamedTuple):
    """The figures of a drill, and what was wrong."""

    requests: int
    per_second: float
    statuses: dict[Any, int]
    failed: list[str]
    refused_seconds: float
    slowest_seconds: float
    events: int
    steps: list[tuple[str, float]]
    violations: dict[str, list[str]]

    def lines(self) -> Iterator[str]:
        yield from (f"{seconds:7.1f} s  {step}" for step, seconds in self.steps)
        yield f"{self.requests} requests, {self.per_second:.0f} per second, by status: {self.statuses}"
        yield f"failed: {len(self.failed)} {self.failed[:SHOWN] or ''}"
        yield f"503 with Retry-After: at most {self.refused_seconds:.2f} s at a time"
        yield f"slowest answer: {self.slowest_seconds:.2f} s"
        lost = self.violations.get("acknowledged_writes_are_stored_once", [])
        yield f"writes lost: {len(lost)} of {self.events} events"
        yield f"read tables equal the fold of the log: {'tables_are_the_fold' not in self.violations}"
        for name, found in self.violations.items():
            yield f"{name}: {len(found)} violations: {found[:SHOWN]}"


class Drill:
    """One upgrade of a running system. `problems` has what did not go as it should."""

    def __init__(self, system: System, old: Version, new: Version, load: Load, pause_requests: int) -> None:
        self._system = system
        self._old = old
        self._new = new
        self._load = load
        self._pause_requests = pause_requests
        self.steps: list[tuple[str, float]] = []
        self.problems: list[str] = []

    def run(self) -> None:
        """The upgrade, as docs/how-to/upgrading.md describes it."""
        system, old, new = self._system, self._old, self._new
        with self._step("before the upgrade"):
            pass
        with self._step("migrate (expand)"):
            done = system.require(new, "migrate")
            self._expect("the expansion", all(part in done for part in (EXPANDED, INDEXED, "refilled")))
        with self._step("a process of the old version is killed and starts again"):
            system.kill("projector", OLD)
            system.start(old, "projector", OLD)
        with self._step("new followers beside the old ones"):
            system.start_followers(new, NEW)
        for number in range(APIS):
            with self._step(f"API {number + 1} is replaced"):
                system.stop("api", OLD + number)
                system.start(new, "api", NEW + number)
                system.wait_until_ready(NEW + number)
                self._expect("both versions run", number or self._is_refused(new, "still use the database"))
        with self._step("the old followers end"):
            self._expect("the old processes run", not system.ended())
            system.stop_followers(OLD)
        with self._step("migrate --contract"):
            done = system.require(new, "migrate", "--contract")
            self._expect("the contraction", CONTRACTED in done and "schema read dropped" in done)
        with self._step("after the upgrade"):
            refused = system.run(old, "projector")
            self._expect("the old version is refused", "by a newer program" in refused.stderr)
            self._expect("the new processes run", not system.ended())

    def verify(self) -> None:
        """Look at the planted changes, and run the commands that check an installation."""
        with connect(self._system.dsn, application="tests") as conn:
            planted = conn.execute(_PLANTED).fetchone()
        self._expect("the planted migrations", planted == (0, True))
        for command in (("rebuild", "--verify"), ("verify",)):
            done = self._system.run(self._new, *command)
            if done.returncode != 0:
                self.problems.append(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - began))
        wait_for_operations(self._load, self._pause_requests)

    def _is_refused(self, version: Version, message: str) -> bool:
        done = self._system.run(version, "migrate", "--contract")
        return done.returncode == 2 and message in done.stderr

    def _expect(self, name: str, is_met: object) -> None:
        if not is_met:
            self.problems.append(f"not as expected: {name}")


def run_drill(dsn: str, old: Version, new: Version, home: Path, scale: Scale, kafka: Kafka) -> Report:
    """Run an upgrade on an empty database, and check everything that clients and consumers got."""
    with ExitStack() as stack:
        receiver = stack.enter_context(running_receiver())
        system = System(
            dsn,
            home,
            WORKERS=str(scale.workers),
            KAFKA_BOOTSTRAP_SERVERS=kafka.servers,
            KAFKA_PREFIX=kafka.prefix,
        )
        stack.callback(system.close)
        _start(system, old)
        api = Api(system.base_url)
        api.key = system.populate(old, receiver.url(WEBHOOK))["admin"]
        witnesses = stack.enter_context(Witnesses(system, api, receiver, kafka))
        load = stack.enter_context(paced_load(api.base_url, api.key, scale.per_second))
        drill = Drill(system, old, new, load, scale.pause_requests)
        load.work(1)
        drill.run()
        operations = load.rest()
        witnesses.settle()
        drill.verify()
        evidence = witnesses.gather(operations, drill.problems)
    return Report(
        requests=len(operations),
        per_second=per_second(operations),
        statuses=statuses(operations),
        failed=failed(operations),
        refused_seconds=longest_refusal_seconds(operations),
        slowest_seconds=slowest_seconds(operations),
        events=len(evidence.log),
        steps=drill.steps,
        violations=check(evidence),
    )


def _start(system: System, version: Version) -> None:
    """Make the tables of a version in an empty database, and start its processes."""
    system.require(version, "migrate")
    system.start_followers(version, OLD)
    for number in range(APIS):
        system.start(version, "api", OLD + number)
    for number in range(APIS):
        system.wait_until_ready(OLD + number)
