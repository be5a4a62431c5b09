"""`ticketing dead-letter` and `ticketing delivery`: list and retry what failed in the webhook dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.database import open_database
from cli.output import format_time, note, print_table
from infrastructure.settings import load_settings
from infrastructure.storage.postgres import Connection
from webhook_dispatcher import dead_letters
from webhook_dispatcher.consumer import Consumer
from webhook_dispatcher.dead_letters import DeadLetterId

LISTED = 1_000
_PLACE = "Use TOPIC/PARTITION/OFFSET, as `ticketing dead-letter list` shows it."

app = typer.Typer(no_args_is_help=True, help="Records for which no webhook deliveries could be stored.")
deliveries_app = typer.Typer(no_args_is_help=True, help="Webhook deliveries whose last attempt failed.")


def _parse_place(value: str) -> DeadLetterId:
    topic, *numbers = value.rsplit("/", 2)
    if len(numbers) != 2 or not all(text.isascii() and text.isdecimal() for text in numbers):
        raise typer.BadParameter(_PLACE)
    partition, offset = (int(text) for text in numbers)
    if partition >= 2**31 or offset >= 2**63:
        raise typer.BadParameter(_PLACE)
    return DeadLetterId(topic, partition, offset)


@app.command("list")
def list_letters() -> None:
    """List dead letters with their topic (`log` for the event log), partition, offset and last error."""
    with _connection() as conn:
        letters = dead_letters.list_dead_letters(conn, LISTED)
    rows = [(letter.id, format_time(letter.at), letter.size_bytes, letter.error) for letter in letters]
    print_table(("ID", "FAILED", "BYTES", "ERROR"), rows)


@app.command("retry")
def retry_letters(
    ids: Annotated[
        list[DeadLetterId] | None,
        typer.Argument(parser=_parse_place, metavar="[ID]...", help="Only these. Default: all."),
    ] = None,
) -> None:
    """Store the deliveries of dead letters, after their cause is removed. Exit with 1 if some fail again."""
    settings = load_settings()
    with open_database(settings) as database, database.pool.connection() as conn:
        consumer = Consumer(settings, database.store, on_enqueued=lambda: None)
        handled, failed = dead_letters.retry_dead_letters(conn, consumer, ids or None)
    note(f"Dead letters handled: {handled}.")
    if failed:
        note(f"Failed again: {failed}. `ticketing dead-letter list` shows the errors.")
        raise typer.Exit(1)


@app.command("delete")
def delete_letters(
    ids: Annotated[list[DeadLetterId], typer.Argument(parser=_parse_place, metavar="ID...")],
) -> None:
    """Delete dead letters that can never be handled. Their events stay in the log."""
    with _connection() as conn:
        count = dead_letters.delete_dead_letters(conn, ids)
    note(f"Dead letters deleted: {count}.")


@deliveries_app.command("list")
def list_deliveries() -> None:
    """List dead deliveries, the newest first, with the answer to their last attempt."""
    with _connection() as conn:
        deliveries = dead_letters.list_dead_deliveries(conn, LISTED)
    columns = ("ID", "WEBHOOK", "URL", "EVENT", "ATTEMPTS", "LAST ANSWER", "DEAD SINCE")
    print_table(columns, [(*delivery[:-1], format_time(delivery.died_at)) for delivery in deliveries])


@deliveries_app.command("retry")
def retry_deliveries(
    ids: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=2**63 - 1, metavar="[ID]...", help="Only these. Default: all."),
    ] = None,
) -> None:
    """Send dead deliveries again, with a new schedule of retries."""
    with _connection() as conn:
        count = dead_letters.retry_dead_deliveries(conn, ids or None)
    note(f"Deliveries due again: {count}.")


@contextmanager
def _connection() -> Iterator[Connection]:
    with open_database(load_settings()) as database, database.pool.connection() as conn:
        yield conn
