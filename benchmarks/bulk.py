"""Loads many tickets into the log of an installation in one go, and refills its read tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from benchmarks.bench import run_ticketing
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from tests.support.vault import VAULT

BATCH_TICKETS = 2_000
_COPY = (
    "COPY es.stored_events (originator_id, originator_version, topic, state) FROM STDIN WITH (FORMAT binary)"
)


def append_tickets(dsn: str, tickets: Iterable[Ticket]) -> int:
    """Append the pending events of these new tickets, and return their number. Does not fill read tables."""
    count = 0
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        with connect(dsn, application="benchmarks", limit_seconds=600) as conn:
            for batch in _batches(tickets):
                events, statements = store.encrypt([event for one in batch for event in one.collect_events()])
                with conn.transaction(), conn.cursor() as cur:
                    for statement, parameters in statements:
                        cur.execute(statement, parameters)
                    with cur.copy(_COPY) as copy:
                        copy.set_types(["text", "int8", "text", "bytea"])
                        for event in events:
                            row = store.mapper.to_stored_event(event)
                            copy.write_row((row.originator_id, row.originator_version, row.topic, row.state))
                            count += 1
        store.close()
    return count


def refill(dsn: str) -> None:
    """Refill the read tables, and update the statistics of the planner."""
    run_ticketing(dsn, "rebuild")
    vacuum(dsn)


def vacuum(dsn: str) -> None:
    with connect(dsn, application="benchmarks", limit_seconds=600) as conn:
        conn.execute("VACUUM ANALYZE")


def _batches(tickets: Iterable[Ticket]) -> Iterator[list[Ticket]]:
    iterator = iter(tickets)
    while batch := list(islice(iterator, BATCH_TICKETS)):
        yield batch
