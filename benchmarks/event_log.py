"""Compares appending to the log and loading from it with the classes of the `eventsourcing` library."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from uuid import UUID

from benchmarks.clients import Clients, Operations
from benchmarks.comparison import Comparison, compare
from benchmarks.stock import StockTicket, make_stock
from benchmarks.tickets import FIELDS, benchmark_context, grow
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.snapshots import MAX_SNAPSHOTS
from tests.support.vault import VAULT

EVENTS = 30
FEW_TICKETS = 100
# More than the cache holds, so that each ticket is evicted before it is loaded again.
MANY_TICKETS = MAX_SNAPSHOTS + 88
STOCK, EVENT_STORE = "stock library", "event store"
NOT_CACHED, CACHED = "event store, not cached", "event store, cached"
APPEND, LOAD_COLD, LOAD_AGAIN = "append", "first load", "load again"
APPEND_STOCK, LOAD_STOCK = "append stock", "load stock"


def compare_append(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare saving a new ticket with one event."""
    make_stock(dsn, create=True).close()
    with Clients(clients, _prepare_append, dsn) as running:
        measure = _make_measure(running, seconds, {STOCK: APPEND_STOCK, EVENT_STORE: APPEND})
        return compare(
            "append", contenders=[(EVENT_STORE, 4.0)], baseline=STOCK, rounds=rounds, measure=measure
        )


def compare_load(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare loading tickets of 30 events, cached and not cached."""
    ticket_ids, stock_ids = _seed(dsn)
    with Clients(clients, _prepare_load, dsn, ticket_ids, stock_ids) as running:
        operations = {STOCK: LOAD_STOCK, NOT_CACHED: LOAD_COLD, CACHED: LOAD_AGAIN}
        return compare(
            f"load {EVENTS} events",
            contenders=[(NOT_CACHED, None), (CACHED, 8.0)],
            baseline=STOCK,
            rounds=rounds,
            measure=_make_measure(running, seconds, operations),
        )


def _make_measure(running: Clients, seconds: float, operations: dict[str, str]) -> Callable[[str], float]:
    return lambda side: running.measure_rate(operations[side], seconds)


def _seed(dsn: str) -> tuple[list[str], list[UUID]]:
    """Store MANY_TICKETS tickets of EVENTS events on both sides, and return their ids."""
    ticket_ids: list[str] = []
    stock_ids: list[UUID] = []
    application = make_stock(dsn, create=True)
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        for _ in range(MANY_TICKETS):
            ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
            grow(ticket, EVENTS)
            store.save(ticket)
            ticket_ids.append(ticket.id)
            stock_ticket = StockTicket(**FIELDS)
            stock_ticket.grow(EVENTS)
            application.save(stock_ticket)
            stock_ids.append(stock_ticket.id)
    application.close()
    with connect(dsn, application="benchmarks") as conn:
        conn.execute("VACUUM ANALYZE")
    return ticket_ids, stock_ids


def _prepare_append(number: int, dsn: str) -> Operations:
    store = EventStore(make_pool(dsn, application="benchmarks", max_size=2), VAULT)
    stock = make_stock(dsn)
    return {
        APPEND: lambda: store.save(Ticket.open(new_id(), benchmark_context(), **FIELDS)),
        APPEND_STOCK: lambda: stock.save(StockTicket(**FIELDS)),
    }


def _prepare_load(number: int, dsn: str, ticket_ids: list[str], stock_ids: list[UUID]) -> Operations:
    store = EventStore(make_pool(dsn, application="benchmarks", max_size=2), VAULT)
    application = make_stock(dsn)
    first = number * len(ticket_ids) // 8  # each client starts with another ticket
    all_tickets, few_tickets = cycle(ticket_ids[first:] + ticket_ids[:first]), cycle(ticket_ids[:FEW_TICKETS])
    all_stock = cycle(stock_ids[first:] + stock_ids[:first])
    return {
        LOAD_COLD: lambda: store.load(Ticket, next(all_tickets)),
        LOAD_AGAIN: lambda: store.load(Ticket, next(few_tickets)),
        LOAD_STOCK: lambda: application.repository.get(next(all_stock)),
    }
