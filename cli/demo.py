"""`ticketing demo load`: users, properties and tickets to try the system with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cli import demo_data
from cli.database import Database, open_database
from cli.demo_population import Population
from cli.output import Progress, note
from commands.email_addresses import EmailTaken, claim_address, refuse_taken_address
from domain.aggregate import Aggregate
from domain.errors import Conflict
from domain.user import User
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.settings import load_settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, connect, named_queries
from projections.rebuild import rebuild

DEFAULT_TICKETS = 250
DEFAULT_SEED = 1
MAX_TICKETS = 10_000_000
BULK_ABOVE_TICKETS = 5_000  # for more, events are copied in bulk and the read tables refilled
BATCH_TICKETS = 2_000

sql = named_queries(Path(__file__).parent / "sql" / "demo.sql")
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Data for trying out the system.")


@app.callback()
def _group() -> None:
    """Do nothing. Without a callback, Typer would run the only command without its name."""


@app.command("load")
def load_demo(
    tickets: Annotated[
        int, typer.Option(min=0, max=MAX_TICKETS, help="Number of tickets; a million takes minutes.")
    ] = DEFAULT_TICKETS,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same tickets; another seed adds others.")
    ] = DEFAULT_SEED,
) -> None:
    """Load properties with units, users in every role, and tickets of the past year with comments.

    Existing data is not changed. Times count back from the start of today (UTC).
    """
    with open_database(load_settings()) as database:
        load(database, tickets=tickets, seed=seed)


def load_once(database: Database, record: Path) -> None:
    """Load the default demo data if the log is empty; finish a load that was interrupted.

    `record` is a file with the state of the load.
    """
    began = record.exists()
    if began and record.read_text().strip() == "loaded":
        return
    if not began and database.store.recorder.max_notification_id():
        return
    record.write_text("loading\n")
    load(database, tickets=DEFAULT_TICKETS, seed=DEFAULT_SEED)
    record.write_text("loaded\n")


def load(database: Database, *, tickets: int, seed: int) -> None:
    """Add the missing demo data, wait until the API shows it, and print a summary."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    population = Population(tickets)
    people_and_places = chain[Aggregate](
        demo_data.properties(population, today), demo_data.users(population, today)
    )
    made = demo_data.tickets(population, seed, tickets, today)
    in_bulk = tickets > BULK_ABOVE_TICKETS
    with (
        connect(database.dsn, application="ticketing-demo", limit_seconds=LONG_STATEMENT_SECONDS) as conn,
        Progress("Storing events") as progress,
    ):
        new_others = _store_missing(conn, database.store, people_and_places, in_bulk=False)
        new_tickets = 0
        for done, batch in enumerate(_batches(made, BATCH_TICKETS), start=1):
            new_tickets += _store_missing(conn, database.store, batch, in_bulk=in_bulk)
            progress.show(min(done * BATCH_TICKETS, tickets), tickets)
    _fill_read_tables(database, in_bulk=in_bulk and new_tickets > 0)
    existing = len(population.places) + len(population.people) - new_others, tickets - new_tickets
    note(f"Loaded {new_others} properties and users and {new_tickets} tickets (seed {seed}).")
    if any(existing):
        note(f"{existing[0]} properties and users and {existing[1]} tickets existed already.")


def _fill_read_tables(database: Database, *, in_bulk: bool) -> None:
    if in_bulk:
        with Progress("Filling the read tables") as progress:
            rebuild(database.dsn, database.vault, progress.show)
    database.wait_until_shown(database.store.recorder.max_notification_id() or 0)


def _store_missing(
    conn: Connection, store: EventStore, aggregates: Iterable[Aggregate], *, in_bulk: bool
) -> int:
    """Store the events of the aggregates that are not in the log yet, and return the number of aggregates."""
    wanted = list(aggregates)
    rows = conn.execute(sql["select_taken_ids"], {"ids": [one.id for one in wanted]})
    taken = {aggregate_id for (aggregate_id,) in rows}
    missing = [one for one in wanted if one.id not in taken]
    if in_bulk:
        _copy(conn, store, missing)
    else:
        for one in missing:
            _save(store, one)
    return len(missing)


def _save(store: EventStore, one: Aggregate) -> None:
    if not isinstance(one, User):
        store.save(one)
        return
    try:
        with refuse_taken_address():
            store.save(one, statements=claim_address(store, one))
    except EmailTaken:
        raise Conflict(
            f"The demo data cannot be loaded: another person has the e-mail address {one.email} of {one.id}."
        ) from None


def _copy(conn: Connection, store: EventStore, aggregates: Iterable[Aggregate]) -> None:
    """Append all pending events in one commit. COPY fires the same triggers as INSERT."""
    events, statements = store.encrypt([event for one in aggregates for event in one.collect_events()])
    with conn.transaction(), conn.cursor() as cur:
        for statement, parameters in statements:
            cur.execute(statement, parameters)
        with cur.copy(sql["copy_events"]) as copy:
            copy.set_types(["text", "int8", "text", "bytea"])
            for event in events:
                stored = store.mapper.to_stored_event(event)
                copy.write_row((stored.originator_id, stored.originator_version, stored.topic, stored.state))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
