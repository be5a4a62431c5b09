"""`make bench`: compares two or more implementations in each part, in one run, on a durable server. See
README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from rich.console import Console

from benchmarks import audit, comparison, event_log, http_requests, long_tickets, relay, webhooks
from benchmarks.comparison import Comparison
from infrastructure.storage.embedded import EmbeddedServer, start_embedded
from infrastructure.storage.postgres import connect, migrate
from projections.schema import create_read_schema
from tests.support.kafka_server import KafkaUnavailable

HOME = Path(".ticketing") / "bench"
PARTS = {
    "append": event_log.compare_append,
    "load": event_log.compare_load,
    "requests": http_requests.compare_requests,
    "long_tickets": long_tickets.compare_long_tickets,
    "relay": relay.compare_relay,
    "verify": audit.compare_verify,
    "export": audit.compare_export,
    "webhooks": webhooks.measure_webhooks,
    "webhook_latency": webhooks.measure_latency,
}


def main() -> None:
    options = _parse_options()
    console = Console()
    server = start_embedded((HOME / "postgres").resolve())
    try:
        comparisons: list[Comparison] = []
        for part in options.parts:
            dsn = _create_database(server, f"bench_{part}")
            with console.status(f"{part}: {options.rounds} rounds of {options.seconds:g} s for each side"):
                try:
                    comparisons += PARTS[part](dsn, options.clients, options.rounds, options.seconds)
                except KafkaUnavailable as reason:
                    console.print(f"{part} was skipped: {reason}")
    finally:
        server.stop()
    comparison.show(console, comparisons, clients=options.clients)
    comparison.write(
        HOME / "results.json",
        comparisons,
        commit=_describe_commit(),
        cpus=os.cpu_count(),
        clients=options.clients,
        seconds=options.seconds,
    )
    console.print(f"The figures of every round: {HOME / 'results.json'}")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="the parts to measure; all by default")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each side in each round")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    return options


def _create_database(server: EmbeddedServer, name: str) -> str:
    with connect(server.dsn("postgres"), application="benchmarks") as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    dsn = server.dsn(name)
    event_log.require_durable(dsn)
    migrate(dsn)
    with connect(dsn, application="benchmarks") as conn:
        create_read_schema(conn)
    return dsn


def _describe_commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
