"""The tables of the part `sizing`: the needs of a ticket, and of a number of tickets a month."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from benchmarks.report import Report, Table

MONTHLY = (1_000, 10_000, 100_000)
DAYS, HOURS, PEAK = 21, 8, 4  # working days a month, hours a day, busiest hour to the mean of the hours
LOAD = 0.5  # of a processor in the busiest hour, so that requests seldom wait
RETENTION_MONTHS = 3  # of webhook deliveries: WEBHOOK_RETENTION_DAYS is 90
ATTACHMENT_BYTES = 1_000_000  # for each ticket
KAFKA_COPIES = 3
MOST_CACHE_BYTES = 8e9
NOT_KEPT = ("webhook deliveries", "Kafka, one copy")
_READ_TABLES = ("audit trail", "past states", "search", "other read tables")
FOLLOWERS = ("projector", "relay", "webhook-dispatcher", "notary")
GROUPS = ("api", "followers", "PostgreSQL")
_MEGABYTE, _GIGABYTE = 1e6, 1e9
_NEEDS = (
    *("processors: API", "followers", "PostgreSQL", "memory: API", "followers", "PostgreSQL"),
    *("disk a year: PostgreSQL", "Kafka", "attachments"),
)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Of one ticket: `disk`, the bytes by part, and `processor`, seconds by process. `idle`: the processors
    each process uses without requests. `memory`: bytes by process. `seconds`: the duration of all lives."""

    lives: int
    requests: int
    seconds: float
    disk: dict[str, float]
    processor: dict[str, float]
    idle: dict[str, float]
    memory: dict[str, float]


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of tickets a month needs. `processors` in the busiest hour; bytes; `disk_year` without
    attachments and Kafka."""

    requests_per_second: float
    processors: dict[str, float]
    memory: dict[str, float]
    disk_year: float
    kafka_year: float
    attachments_year: float


def compute_need(measured: Measured, monthly: int) -> Need:
    """Multiply what was measured, under the assumptions of this module."""
    per_second = monthly / (DAYS * HOURS * 3_600) * PEAK
    idle, busy = _by_group(measured.idle), _by_group(measured.processor)
    memory = _by_group(measured.memory)
    read_tables = 12 * monthly * sum(measured.disk.get(name, 0.0) for name in _READ_TABLES)
    memory["PostgreSQL"] += min(read_tables, MOST_CACHE_BYTES)
    kept = sum(size for name, size in measured.disk.items() if name not in NOT_KEPT)
    return Need(
        requests_per_second=per_second * measured.requests,
        processors={name: (idle[name] + per_second * busy[name]) / LOAD for name in GROUPS},
        memory=memory,
        disk_year=12 * monthly * kept
        + RETENTION_MONTHS * monthly * measured.disk.get("webhook deliveries", 0.0)
        + read_tables,  # `rebuild` writes a second copy
        kafka_year=12 * monthly * KAFKA_COPIES * measured.disk.get("Kafka, one copy", 0.0),
        attachments_year=12.0 * monthly * ATTACHMENT_BYTES,
    )


def make_report(measured: Measured) -> Report:
    return Report(
        tables=[_tabulate_needs(measured), _tabulate_disk(measured), _tabulate_processes(measured)],
        notes=(
            "A ticket: opened, 3 changes, 4 comments, 40 reads and lists, 8 posts to a webhook."
            f" {measured.lives:,} of them took {measured.seconds:.0f} s.",
            f"Busiest hour: {PEAK} times the mean of {DAYS} days of {HOURS} hours, when processors are"
            f" {LOAD:.0%} busy.",
            "Memory of PostgreSQL: its processes, and the read tables of a year, up to"
            f" {MOST_CACHE_BYTES / _GIGABYTE:g} GB.",
            "Disk: with a second copy of the read tables, for `rebuild`; without WAL and backups.",
            f"Attachments: {ATTACHMENT_BYTES / _MEGABYTE:g} MB a ticket. Kafka: {KAFKA_COPIES} copies.",
        ),
        figures={
            "measured": msgspec.to_builtins(measured),
            "needs": {str(each): msgspec.to_builtins(compute_need(measured, each)) for each in MONTHLY},
        },
    )


def group_of(process: str) -> str | None:
    """The group of a process or session; None for the load generator."""
    if process in FOLLOWERS:
        return "followers"
    if process.startswith(("session of ticketing", "PostgreSQL")):
        return "PostgreSQL"
    return "api" if process == "api" else None


def _by_group(values: Mapping[str, float]) -> dict[str, float]:
    found = dict.fromkeys(GROUPS, 0.0)
    for name, value in values.items():
        if group := group_of(name):
            found[group] += value
    return found


def _tabulate_needs(measured: Measured) -> Table:
    columns = ("tickets a month", "requests/s", *_NEEDS)
    rows = []
    for monthly in MONTHLY:
        need = compute_need(measured, monthly)
        disk = (need.disk_year, need.kafka_year, need.attachments_year)
        rows.append(
            [
                f"{monthly:,}",
                f"{need.requests_per_second:.2f}",
                *(f"{need.processors[name]:.2f}" for name in GROUPS),
                *(f"{need.memory[name] / _GIGABYTE:.1f} GB" for name in GROUPS),
                *(f"{size / _GIGABYTE:,.1f} GB" for size in disk),
            ]
        )
    return Table("Sizes for a number of tickets a month", columns, rows)


def _tabulate_disk(measured: Measured) -> Table:
    rows = [[name, f"{size:,.0f}"] for name, size in sorted(measured.disk.items(), key=lambda each: -each[1])]
    return Table("Bytes on disk for a ticket, with indexes", ("part", "bytes"), rows)


def _tabulate_processes(measured: Measured) -> Table:
    rows = []
    names = {*measured.processor, *measured.memory}
    for name in sorted(name for name in names if group_of(name)):
        memory = measured.memory.get(name)
        rows.append(
            [
                name,
                f"{measured.processor.get(name, 0.0) * 1_000:,.1f}",
                f"{measured.idle.get(name, 0.0):.3f}",
                f"{memory / _MEGABYTE:,.0f}" if memory else "",
            ]
        )
    columns = ("process", "processor seconds for 1,000 tickets", "processors when idle", "memory, MB")
    return Table("Processor time and memory of each process", columns, rows)
