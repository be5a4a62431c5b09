"""`ticketing history`: prints the events of a ticket, as text or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from msgspec import UNSET
from rich.console import Console
from rich.text import Text

from cli import options
from cli.database import Database, open_database
from cli.output import ANY_WIDTH, print_result
from domain.changes import Change
from domain.ticket import Ticket
from infrastructure.settings import load_settings
from projections.history import HistoryQuery, ticket_history
from projections.views import ActorView, AuthView, HistoryEntry, ImportView

SHOWN_CHARACTERS = 200  # of one value; --json prints all of it
_NAME_WIDTH = 12
_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def history(
    ticket_id: Annotated[str, options.id_argument("A ticket's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON that the API returns.")] = False,
) -> None:
    """Show the events of a ticket, deleted or not: when, who, and what changed."""
    with open_database(load_settings()) as database:
        ticket = database.store.load(Ticket, ticket_id)
        entries = _entries(database, ticket)
    if as_json:
        print_result(msgspec.json.format(msgspec.json.encode(entries)).decode())
        return
    console = Console(file=sys.stdout, width=ANY_WIDTH, markup=False, highlight=False, soft_wrap=True)
    console.print(_format_title(ticket))
    for entry in entries:
        for line in _format_entry(entry):
            console.print(line)


def _entries(database: Database, ticket: Ticket) -> list[HistoryEntry]:
    query = HistoryQuery(limit=ticket.version)
    return ticket_history(database.pool, database.store, ticket, query, is_auditor=True).items


def _format_title(ticket: Ticket) -> Text:
    state = "deleted" if ticket.is_deleted else ticket.status
    return Text.assemble(
        (f"Ticket {ticket.id}", "bold"),
        f"  {_format_value(ticket.title)}  ",
        (f"{state}, version {ticket.version}", "dim"),
    )


def _format_entry(entry: HistoryEntry) -> Iterator[Text]:
    yield Text()
    yield Text.assemble(
        (f"{entry.version:>4}  ", "bold cyan"),
        (f"{entry.exact_time:%Y-%m-%d %H:%M:%S.%f}Z  ", "cyan"),
        (entry.action, "bold"),
    )
    yield Text(f"      by {_escape(_format_origin(entry))}", style="dim")
    if entry.imported is not UNSET:
        yield Text(f"      {_escape(_format_import(entry.imported))}", style="dim")
    for name, change in entry.changes.items():
        yield _format_change(name, change)


def _format_origin(entry: HistoryEntry) -> str:
    who = _format_actor(entry.actor, entry.auth)
    key = f", {entry.auth.kind} {entry.auth.key_id}" if entry.auth.key_id else ""
    origin = f", from {entry.address_prefix}" if entry.address_prefix else ""
    return f"{who} as {entry.actor.role}{key}{origin}, request {entry.request_id}"


def _format_import(imported: ImportView) -> str:
    who = _format_actor(imported.by, imported.auth)
    return f"imported from {imported.source} by {who} as {imported.by.role}, {imported.at:%Y-%m-%d %H:%M:%SZ}"


def _format_actor(actor: ActorView, auth: AuthView) -> str:
    return auth.kind if actor.user is None else f"{actor.user.name} ({actor.user.id})"


def _format_change(name: str, change: Change) -> Text:
    line = Text(f"      {name:<{_NAME_WIDTH}} ")
    if change.before is not None:
        line.append(_format_value(change.before), style="red").append(" → ")
    return line.append(_format_value(change.after), style="green")


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(inner)}" for name, inner in value.items())
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return f"{_escape(value[:SHOWN_CHARACTERS])}… ({len(value)} characters)"
    if isinstance(value, bool):
        return str(value).lower()
    return _escape("none" if value is None else str(value))


def _escape(text: str) -> str:
    """The text on one line, with control characters escaped."""
    return text.translate(_UNPRINTABLE)
