"""The kinds of faults, and a random order of them."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import psycopg

from tests.chaos.disk import Disk
from tests.chaos.installation import PROCESSES, Installation
from tests.chaos.units import pause, send

MEGABYTE = 1024**2
SECONDS = (0.5, 4.0)  # the length of a fault, unless it is a moment
END_SECONDS = 60.0  # in which a process ends after a signal
ORPHANS_SECONDS = 15.0  # in which the children of a killed process end
END_ON_SIGHUP = {"up", "kafka", *PROCESSES} - {"api"}
TERM_SECONDS = 3.0  # after which PostgreSQL, which waits for its sessions, is stopped with SIGINT
STEPS_SECONDS = (-200, -60, -5, 5, 60, 200)  # of the clock; webhooks are verified with a tolerance of 300 s
DELAY_SECONDS = 0.02
LOST = ("ticket.opened", "ticket.title_changed", "ticket.commented")
LOST_SECONDS = 10.0  # to wait for such an event
ONLY_ROOT = "only root can make a disk of its own"

Inject = Callable[[Installation, random.Random], None]


class Fault(NamedTuple):
    """A kind of fault. `inject` returns at its end. `breaks_connections`: nginx itself is the target."""

    name: str
    inject: Inject
    breaks_connections: bool = False


class Left(NamedTuple):
    """A kind of fault that cannot be had on this machine, and why."""

    name: str
    reason: str


def kinds_of_faults(system: Installation) -> tuple[list[Fault], list[Left]]:
    """Every kind for this installation, and those that are left out."""
    masters = [*PROCESSES, "postgres", "kafka", "nginx", "pgbouncer" if system.kind == "separate" else "up"]
    workers = ["api_worker", "postgres_worker", "nginx_worker"]
    faults = [
        Fault(f"{signal_name} {target}", make(target), target.startswith("nginx"))
        for target in (*masters, *workers)
        for signal_name, make in _SIGNALS.items()
    ]
    faults += [
        Fault(f"down {target}", _down(target), target == "nginx")
        for target in masters
        if target in system.keepers
    ]
    for name in system.networks:
        faults += [Fault(f"{kind} network {name}", make(name)) for kind, make in _NETWORKS.items()]
    if "pooled" in system.networks:
        faults += [Fault(f"lost reply to {event}", _lose_reply(event)) for event in LOST]
    faults.append(Fault("read-only database", _read_only))
    left = []
    disks = [
        Fault(f"{size} {name}", _fill(left_bytes, disk))
        for name, disk in (("disk", system.disk), ("disk of kafka", system.kafka_disk))
        for size, left_bytes in _LEFT_BYTES.items()
    ]
    if system.disk.is_own:
        faults += disks
    else:
        left += [Left(fault.name, ONLY_ROOT) for fault in disks]
    if system.clock.is_own:
        faults.append(Fault("clock step", _step_clock))
    else:
        left.append(
            Left("clock step", "there is no C compiler. On Debian or Ubuntu: apt-get install gcc libc6-dev")
        )
    return faults, left


def schedule(faults: list[Fault], moments: random.Random) -> Iterator[Fault]:
    """Faults in a random order, without an end: every kind once before any comes again."""
    while True:
        yield from moments.sample(faults, len(faults))


def _kill(target: str) -> Inject:
    """kill -9 of the one process. The fault lasts until its children have noticed it and ended."""

    def inject(system: Installation, moments: random.Random) -> None:
        family = system.processes(target)
        _signal_one(system, target, signal.SIGKILL, moments)
        if "_worker" not in target:
            _wait_for_end(family, ORPHANS_SECONDS)

    return inject


def _terminate(target: str) -> Inject:
    """The fault lasts until the process has ended, after which it is started again."""

    def inject(system: Installation, moments: random.Random) -> None:
        signalled = _signal_one(system, target, signal.SIGTERM, moments)
        if target == "postgres":
            _wait_for_end(signalled, TERM_SECONDS)
            send(signalled, signal.SIGINT)
        _wait_for_end(signalled, END_SECONDS)

    return inject


def _hang_up(target: str) -> Inject:
    """Some processes reload their configuration, and others end."""

    def inject(system: Installation, moments: random.Random) -> None:
        signalled = _signal_one(system, target, signal.SIGHUP, moments)
        if target in END_ON_SIGHUP:
            _wait_for_end(signalled, END_SECONDS)

    return inject


def _freeze(target: str) -> Inject:
    """SIGSTOP and SIGCONT of the process and its descendants."""

    def inject(system: Installation, moments: random.Random) -> None:
        found = system.processes(target)
        if "_worker" in target:
            found = [moments.choice(found)] if found else []
        send(found, signal.SIGSTOP)
        pause(moments.uniform(*SECONDS))
        send(found, signal.SIGCONT)

    return inject


def _down(target: str) -> Inject:
    """kill -9 of the process with all its descendants, as when a host fails; it starts again later."""

    def inject(system: Installation, moments: random.Random) -> None:
        keeper = system.keepers[target]
        keeper.is_held = True
        try:
            send(system.processes(target), signal.SIGKILL)
            pause(moments.uniform(*SECONDS))
        finally:
            keeper.is_held = False

    return inject


def _signal_one(
    system: Installation, target: str, number: signal.Signals, moments: random.Random
) -> list[psutil.Process]:
    """Returns the one process that got the signal."""
    found = system.processes(target)
    signalled = [moments.choice(found) if "_worker" in target else found[0]] if found else []
    send(signalled, number)
    return signalled


def _wait_for_end(processes: list[psutil.Process], within: float) -> None:
    pause(within, until=lambda: not any(map(_runs, processes)))


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _cut(name: str) -> Inject:
    return lambda system, moments: _disturb(system, name, moments, lambda: system.networks[name].cut())


def _hold(name: str) -> Inject:
    return lambda system, moments: _disturb(system, name, moments, lambda: system.networks[name].hold())


def _slow(name: str) -> Inject:
    return lambda system, moments: _disturb(
        system, name, moments, lambda: system.networks[name].slow_down(DELAY_SECONDS)
    )


def _disturb(system: Installation, name: str, moments: random.Random, begin: Callable[[], None]) -> None:
    begin()
    try:
        pause(moments.uniform(*SECONDS))
    finally:
        system.networks[name].pass_on()


def _lose_reply(event: str) -> Inject:
    """An event commits, and the connection breaks before PostgreSQL's reply arrives."""

    def inject(system: Installation, moments: random.Random) -> None:
        network = system.networks["pooled"]
        before = network.losses
        network.lose_reply_to(event.encode())
        pause(LOST_SECONDS, until=lambda: network.losses > before)

    return inject


def _fill(left_bytes: int, disk: Disk) -> Inject:
    """Leave so much free space on the disk."""

    def inject(system: Installation, moments: random.Random) -> None:
        disk.fill(left_bytes)
        try:
            pause(moments.uniform(*SECONDS))
        finally:
            disk.empty()

    return inject


def _read_only(system: Installation, moments: random.Random) -> None:
    with _as_owner(system) as conn:
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        conn.execute("SELECT pg_reload_conf()")
    try:
        pause(moments.uniform(*SECONDS))
    finally:
        with _as_owner(system) as conn:
            conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
            conn.execute("SELECT pg_reload_conf()")


@contextmanager
def _as_owner(system: Installation) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(system.dsn, autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        yield conn


def _step_clock(system: Installation, moments: random.Random) -> None:
    system.clock.set(moments.choice(STEPS_SECONDS))
    pause(moments.uniform(*SECONDS))
    system.clock.set(0)


_SIGNALS: dict[str, Callable[[str], Inject]] = {
    "kill": _kill,
    "term": _terminate,
    "hup": _hang_up,
    "stop": _freeze,
}
_NETWORKS: dict[str, Callable[[str], Inject]] = {"cut": _cut, "held": _hold, "slow": _slow}
# Of a disk that is nearly full: less than writes need, and enough for PostgreSQL.
_LEFT_BYTES = {"nearly full": 48 * MEGABYTE, "full": 0}
