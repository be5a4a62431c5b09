"""Appending to the log and loading from it, against the `eventsourcing` library's own classes."""

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
from infrastructure.storage.snapshots import REMEMBERED
from tests.support.vault import VAULT

EVENTS = 30
FEW_TICKETS = 100
MANY_TICKETS = REMEMBERED + 88  # one after another, so that each is forgotten before its next turn
STOCK = "stock library"
APPEND, LOAD_COLD, LOAD_AGAIN = "append", "first load", "load again"
APPEND_STOCK, LOAD_STOCK = "append stock", "load stock"


def compare_append(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """One new ticket of one event, decided and saved."""
    make_stock(dsn, create=True).close()
    with Clients(clients, _prepare_append, dsn) as running:
        measure = _measure(running, seconds, {STOCK: APPEND_STOCK, "ours": APPEND})
        return compare("append", contenders=[("ours", 4.0)], baseline=STOCK, rounds=rounds, measure=measure)


def compare_load(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """A ticket of 30 events: one that this process has not read lately, and one that it has."""
    ours, stock = _seed(dsn)
    with Clients(clients, _prepare_load, dsn, ours, stock) as running:
        operations = {STOCK: LOAD_STOCK, "ours, read anew": LOAD_COLD, "ours, remembered": LOAD_AGAIN}
        return compare(
            f"load {EVENTS} events",
            contenders=[("ours, read anew", None), ("ours, remembered", 8.0)],
            baseline=STOCK,
            rounds=rounds,
            measure=_measure(running, seconds, operations),
        )


def require_durable(dsn: str) -> None:
    """Refuse to measure a server that may lose what it has answered for."""
    with connect(dsn, application="benchmarks") as conn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = conn.execute(f"SHOW {setting}").fetchone()
            if row is None or row[0] != "on":
                raise SystemExit(f"{setting} is {row and row[0]}: such figures would be worth nothing.")


def _measure(running: Clients, seconds: float, operations: dict[str, str]) -> Callable[[str], float]:
    return lambda side: running.rate(operations[side], seconds)


def _seed(dsn: str) -> tuple[list[str], list[UUID]]:
    """The ids of MANY_TICKETS tickets of EVENTS events on either side."""
    ours: list[str] = []
    stock: list[UUID] = []
    application = make_stock(dsn, create=True)
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        for _ in range(MANY_TICKETS):
            ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
            grow(ticket, EVENTS)
            store.save(ticket)
            ours.append(ticket.id)
            stock_ticket = StockTicket(**FIELDS)
            stock_ticket.grow(EVENTS)
            application.save(stock_ticket)
            stock.append(stock_ticket.id)
    application.close()
    with connect(dsn, application="benchmarks") as conn:
        conn.execute("VACUUM ANALYZE")
    return ours, stock


def _prepare_append(number: int, dsn: str) -> Operations:
    store = EventStore(make_pool(dsn, application="benchmarks", max_size=2), VAULT)
    stock = make_stock(dsn)
    return {
        APPEND: lambda: store.save(Ticket.open(new_id(), benchmark_context(), **FIELDS)),
        APPEND_STOCK: lambda: stock.save(StockTicket(**FIELDS)),
    }


def _prepare_load(number: int, dsn: str, ours: list[str], stock: list[UUID]) -> Operations:
    store = EventStore(make_pool(dsn, application="benchmarks", max_size=2), VAULT)
    application = make_stock(dsn)
    first = number * len(ours) // 8  # clients begin at different tickets
    all_ours, few_ours = cycle(ours[first:] + ours[:first]), cycle(ours[:FEW_TICKETS])
    all_stock = cycle(stock[first:] + stock[:first])
    return {
        LOAD_COLD: lambda: store.load(Ticket, next(all_ours)),
        LOAD_AGAIN: lambda: store.load(Ticket, next(few_ours)),
        LOAD_STOCK: lambda: application.repository.get(next(all_stock)),
    }
