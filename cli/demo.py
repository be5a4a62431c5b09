"""`ticketing demo load`: users, properties and tickets to try the system with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from cli import demo_data
from cli.child_process import run_in_child
from cli.database import Database, open_database
from cli.demo_population import Population
from cli.output import Progress, note
from commands.email_addresses import EmailTaken, claim_address, refuse_taken_address
from domain.aggregate import Aggregate
from domain.errors import Conflict
from domain.ticket import Ticket
from domain.user import User
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.garbage import rare_garbage_collection
from infrastructure.settings import load_settings
from infrastructure.storage.event_store import EventStore, encode
from infrastructure.storage.postgres import Connection, connect, named_queries
from projections.rebuild import rebuild

DEFAULT_TICKETS = 250
DEFAULT_SEED = 1
MAX_TICKETS = 10_000_000
BULK_ABOVE_TICKETS = 5_000  # for more, events are copied in bulk and the read tables refilled
BATCH_TICKETS = 2_000
BATCH_SAVED = 200  # aggregates in one commit, if they are not copied
APPLICATION = "ticketing-demo"

sql = named_queries(Path(__file__).parent / "sql" / "demo.sql")
T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)

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
    in_bulk = tickets > BULK_ABOVE_TICKETS
    with connect(database.dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        new_others = _save_missing(conn, database.store, people_and_places)
        if in_bulk:
            new_tickets = _copy_tickets(conn, database, _Tickets(population, seed, tickets, today))
        else:
            made = demo_data.tickets(population, seed, tickets, today)
            new_tickets = _save_missing(conn, database.store, made)
    _fill_read_tables(database, in_bulk=in_bulk and new_tickets > 0)
    existing = len(population.places) + len(population.people) - new_others, tickets - new_tickets
    note(f"Loaded {new_others} properties and users and {new_tickets} tickets (seed {seed}).")
    if any(existing):
        note(f"{existing[0]} properties and users and {existing[1]} tickets existed already.")


class _Tickets(NamedTuple):
    """What determines the demo tickets."""

    population: Population
    seed: int
    total: int
    today: datetime

    def batches(self) -> list[range]:
        """The numbers of the tickets of each batch."""
        end = self.total + 1
        return [range(first, min(first + BATCH_TICKETS, end)) for first in range(1, end, BATCH_TICKETS)]

    def make(self, numbers: range) -> list[Ticket]:
        return list(demo_data.tickets(self.population, self.seed, self.total, self.today, numbers))


def _fill_read_tables(database: Database, *, in_bulk: bool) -> None:
    if in_bulk:
        with Progress("Filling the read tables") as progress:
            rebuild(database.dsn, database.vault, progress.show)
    database.wait_until_shown(database.store.recorder.max_notification_id() or 0)


def _copy_tickets(conn: Connection, database: Database, tickets: _Tickets) -> int:
    """Append the events of the missing tickets, and return the number of these tickets.

    Two processes make every other batch each, because making the events takes more time than storing them.
    """
    batches = tickets.batches()

    def make_others(_: object) -> int:
        with connect(database.dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as own:
            return _copy_batches(own, tickets, batches[1::2])

    with run_in_child(make_others) as others, Progress("Storing events") as progress:
        new = _copy_batches(conn, tickets, batches[::2], progress)
        return new + others.wait(progress.show)


def _copy_batches(
    conn: Connection, tickets: _Tickets, batches: Iterable[range], progress: Progress | None = None
) -> int:
    new = 0
    with rare_garbage_collection():
        for numbers in batches:
            missing = _missing(conn, tickets.make(numbers))
            _copy(conn, missing)
            new += len(missing)
            if progress:
                progress.show(numbers[-1], tickets.total)
    return new


def _save_missing(conn: Connection, store: EventStore, aggregates: Iterable[Aggregate]) -> int:
    """Store the events of the aggregates that are not in the log yet, and return the number of aggregates."""
    new = 0
    for batch in _batches(aggregates, BATCH_SAVED):
        missing = _missing(conn, batch)
        _save(store, missing)
        new += len(missing)
    return new


def _missing(conn: Connection, aggregates: Sequence[A]) -> list[A]:
    """The aggregates that are not in the log yet."""
    rows = conn.execute(sql["select_taken_ids"], {"ids": [one.id for one in aggregates]})
    taken = {aggregate_id for (aggregate_id,) in rows}
    return [one for one in aggregates if one.id not in taken]


def _save(store: EventStore, batch: Sequence[Aggregate]) -> None:
    """Append the pending events of all aggregates in one commit."""
    pending = [one.pending for one in batch]
    claims = [claim for one in batch if isinstance(one, User) for claim in claim_address(store, one)]
    try:
        with refuse_taken_address():
            store.save(*batch, statements=claims)
    except EmailTaken:
        if len(batch) > 1:  # each of them alone, to find the person
            for one, events in zip(batch, pending, strict=True):
                one.pending = events
                _save(store, [one])
            return
        (person,) = batch
        address = person.email if isinstance(person, User) else ""
        raise Conflict(
            f"The demo data cannot be loaded: another person has the e-mail address {address} of {person.id}."
        ) from None


def _copy(conn: Connection, tickets: Iterable[Ticket]) -> None:
    """Append all pending events in one commit. Tickets have no personal fields, so nothing is encrypted.

    COPY fires the same triggers as INSERT.
    """
    with conn.cursor() as cur, cur.copy(sql["copy_events"]) as copy:
        copy.set_types(["text", "int8", "text", "bytea"])
        for ticket in tickets:
            for event in ticket.collect_events():
                copy.write_row((event.originator_id, event.originator_version, event.tag, encode(event)))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
