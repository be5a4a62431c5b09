"""`make bench`: measures this system on a durable server. README.md says what each part measures, and how."""

from __future__ import annotations

import argparse
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import (
    audit,
    bad_load,
    bulk_requests,
    change_feed,
    costs,
    event_log,
    growth,
    http_requests,
    long_tickets,
    memory,
    pages,
    peers,
    projector,
    relay,
    renames,
    report,
    sizing,
    webhooks,
)
from benchmarks.bench import HOME, RESULTS, Bench, Options
from benchmarks.comparison import Comparison, as_report
from benchmarks.other_load import watch_other_load, withhold_verdicts
from benchmarks.report import Report
from infrastructure.storage.embedded import start_embedded
from tests.support.kafka_server import KafkaUnavailable

Measure = Callable[[str, int, int, float], list[Comparison]]


def _compare(measure: Measure, bench: Bench) -> Report:
    """Measure on an empty database of the function's name."""
    options = bench.options
    dsn = bench.create_database(f"bench_{measure.__name__}")
    comparisons = measure(dsn, options.clients, options.rounds, options.seconds)
    return as_report(comparisons, clients=options.clients)


LIMITS: dict[str, Measure] = {
    "append": event_log.compare_append,
    "load": event_log.compare_load,
    "requests": http_requests.compare_requests,
    "long_tickets": long_tickets.compare_long_tickets,
    "relay": relay.compare_relay,
    "verify": audit.compare_verify,
    "export": audit.compare_export,
}
OTHERS: dict[str, Measure] = {
    "bulk": bulk_requests.compare_bulk,
    "webhook_latency": webhooks.measure_latency,
}
PARTS: dict[str, Callable[[Bench], Report]] = {
    "peers": peers.compare_peers,
    "growth": growth.measure_growth,
    "costs": costs.measure_costs,
    "memory": memory.measure_memory,
    "bad_load": bad_load.measure_bad_load,
    "renames": renames.measure_renames,
    "projector": projector.measure_projector,
    "changes": change_feed.measure_changes,
    "pages": pages.measure_pages,
    "webhooks": webhooks.measure_webhooks,
    "sizing": sizing.measure_sizing,
    **{name: partial(_compare, measure) for name, measure in (LIMITS | OTHERS).items()},
}
GROUPS = {"limits": tuple(LIMITS)}
BY_DEFAULT = ("peers", "limits", "growth")


def main() -> None:
    parts, options = _parse_options()
    with lock_home(HOME):
        _measure(parts, options)


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Refuse a second run: it would replace the databases of the first. The kernel releases the lock when the
    process ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"Another run of the benchmarks uses {home}. Wait until it has ended.") from None
        yield


def _measure(parts: list[str], options: Options) -> None:
    console = Console()
    server = start_embedded(options.postgres.resolve())
    try:
        for part in parts:
            bench = Bench(server, options, console, [watch_other_load()])
            with console.status(f"{part} is measured"):
                try:
                    measured = PARTS[part](bench)
                except KafkaUnavailable as reason:
                    console.print(f"{part} was skipped: {reason}")
                    continue
            bench.other_loads.append(watch_other_load())
            measured = withhold_verdicts(measured, bench.other_loads)
            report.show(console, measured)
            report.write(RESULTS, part, measured, seconds=options.seconds)
            report.draw_plots(RESULTS, part, measured.plots)
    finally:
        server.stop()
    console.print(f"The figures of every round: {RESULTS}")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _parse_options() -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [*PARTS, *GROUPS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"the parts to measure: {', '.join(known)}")
    defaults = Options()
    parser.add_argument("--clients", type=int, default=defaults.clients)
    parser.add_argument("--rounds", type=int, default=defaults.rounds)
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of each side in each round")
    parser.add_argument(
        "--sizes", type=_sizes, default=defaults.sizes, help="tickets: growth, changes; 10000,1000000"
    )
    parser.add_argument("--tickets", type=int, default=defaults.tickets, help="of the property: renames")
    parser.add_argument("--requests", type=int, default=defaults.requests, help="memory; up to 1000000")
    parser.add_argument(
        "--postgres", type=Path, default=defaults.postgres, help="data directory of the server"
    )
    found = vars(parser.parse_args())
    chosen = found.pop("parts") or BY_DEFAULT
    if unknown := sorted(set(chosen) - set(known)):
        parser.error(f"unknown: {', '.join(unknown)}. The parts are {', '.join(known)}.")
    return [name for one in chosen for name in GROUPS.get(one, (one,))], Options(**found)


if __name__ == "__main__":
    main()
