"""Projects one batch of the log into the read tables, in one transaction with the projector's position."""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
import structlog

from domain.aggregate import DomainEvent
from domain.api_key import ApiKeyEvent
from domain.audit import AuditEvent
from domain.oauth_client import OAuthClientEvent
from domain.oauth_grant import OAuthGrantEvent
from domain.session import FailedSignInEvent, SessionEvent
from domain.webhook import WebhookEvent
from infrastructure.keys.privacy import decrypt_events
from infrastructure.keys.vault import Vault
from infrastructure.process.failures import describe_error
from infrastructure.process.following import TryAgain
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, named_queries
from projections import project_audit, project_properties, project_tickets, project_users
from projections.folding import CannotProject, PositionedEvent, kinds_of
from projections.project_counts import TicketCounts
from projections.project_past_tickets import PastTickets
from projections.project_search import SearchChanges

sql = named_queries(Path(__file__).parent / "sql" / "runner.sql")
log = structlog.get_logger()

# A batch ends early when its events are long: the search terms of 65,535 characters take up to 0.35 s,
# and all writers wait for the batch.
ORDINARY_BYTES = 1_024  # of an event
SURPLUS_BYTES = 256  # above that in total, for each event of the limit of a batch

# Events with a row in `audit_events` and in no other read table. A new event belongs here or to a projector.
AUDITED_ONLY = kinds_of(
    ApiKeyEvent
    | SessionEvent
    | FailedSignInEvent
    | OAuthClientEvent
    | OAuthGrantEvent
    | WebhookEvent
    | AuditEvent
)
# A pipeline saves round trips, but allows no COPY, which saves processor time for many rows.
LEAST_WITHOUT_PIPELINE = 250  # events of a batch
PROJECTED = project_properties.KINDS | project_users.KINDS | project_tickets.KINDS


class Entry(NamedTuple):
    """One row of the log. Its event is not decoded, because one that cannot be decoded must be parked."""

    position: int
    aggregate_id: str
    state: bytes


class Batch(NamedTuple):
    """The next entries of the log after `position`, read together."""

    position: int
    entries: Sequence[Entry]


class Overtaken(TryAgain):
    """Another process has moved the position, or has locked it and the caller does not wait."""


def read_batch(conn: Connection, limit: int, up_to: int | None = None) -> Batch:
    """Read the next entries after the projector's position: at most `limit`, fewer if they are long, and none
    past `up_to`."""
    parameters = {"limit": limit, "ordinary_bytes": ORDINARY_BYTES, "surplus_bytes": limit * SURPLUS_BYTES}
    with conn.cursor(binary=True) as cur:
        rows = cur.execute(sql["read_batch"], parameters).fetchall()
    entries = [Entry(*entry) for _, *entry in rows]
    if entries[0].position is None:  # the only row has the position and no event
        entries = []
    ((position, *_), *_) = rows
    return Batch(position, [entry for entry in entries if up_to is None or entry.position <= up_to])


def project_batch(
    conn: Connection, vault: Vault, batch: Batch, *, wait: bool, history: bool = True
) -> PastTickets:
    """Project the batch and move the position to its end; on an exception nothing has changed.

    Events of an aggregate that has a parked event are parked too. Without `history` the tables
    `past_tickets` and `audit_events` are not written; the rows for `past_tickets` are returned.
    """
    try:
        return _project_batch(conn, vault, batch, wait=wait, history=history)
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable) as error:
        problem, *_ = str(error).splitlines()
        log.error("read_tables_outdated", problem=problem, remedy="Run `ticketing migrate`.")
        raise


def park_batch(conn: Connection, batch: Batch, error: Exception, *, history: bool = True) -> None:
    """Record the batch in `parked_events` instead of projecting it, and move the position to its end."""
    with conn.transaction():
        _claim(conn, batch, wait=True)
        if history:
            _audit_if_decodable(conn, batch)
        _park(conn, batch.entries, f"{type(error).__name__}: {error}"[:2_000])


def _project_batch(conn: Connection, vault: Vault, batch: Batch, *, wait: bool, history: bool) -> PastTickets:
    pipeline = conn.pipeline() if len(batch.entries) < LEAST_WITHOUT_PIPELINE else nullcontext()
    with pipeline, conn.transaction():
        blocked_ids, counted = _claim(conn, batch, wait=wait)
        past = project_entries(
            conn, vault, batch.entries, blocked_ids=blocked_ids, history=history, counted=counted
        )
        blocked = [entry for entry in batch.entries if entry.aggregate_id in blocked_ids]
        _park(conn, blocked, "waits behind an earlier event of the same aggregate")
    return past


def project_entries(
    conn: Connection,
    vault: Vault,
    entries: Sequence[Entry],
    *,
    blocked_ids: Set[str],
    history: bool,
    counted: bool,
    late_at: int | None = None,
) -> PastTickets:
    """Project the entries in the caller's transaction, which holds the lock of the position.

    Entries of aggregates in `blocked_ids` only get their audit rows. With `counted` the table `ticket_counts`
    is kept up to date. `late_at` is the position of the read
    tables, for entries that were parked: their names replace those that have been shown up to there.
    """
    audited = [(entry.position, _decode(entry)) for entry in entries]
    audit_rows = project_audit.select_rows(conn, audited) if history else None
    projected = [
        event for entry, event in zip(entries, audited, strict=True) if entry.aggregate_id not in blocked_ids
    ]
    counts = TicketCounts()
    past = _project_events(conn, vault, projected, counts, late_at)
    if counted:
        counts.write(conn)
    if history:
        past.write_tickets(conn)
        project_audit.project(conn, audited, audit_rows)
    return past


def project_aggregates(conn: Connection, vault: Vault, entries: Sequence[Entry]) -> PastTickets:
    """Project entries in the order of their aggregates, without audit rows and counts of tickets.

    Does not write the rows of `past_tickets`, which are returned.
    """
    projected = [(entry.position, _decode(entry)) for entry in entries]
    return _project_events(conn, vault, projected, TicketCounts())


def _decode(entry: Entry) -> DomainEvent:
    try:
        return decode(entry.state)
    except msgspec.ValidationError as error:
        raise CannotProject(
            f"this version cannot decode the event's type or fields ({error}); install a version that can,"
            " then run `ticketing rebuild`"
        ) from error


def _claim(conn: Connection, batch: Batch, *, wait: bool) -> tuple[set[str], bool]:
    """Move the position to the end of the batch, and lock it until the transaction ends.

    Returns the ids of the batch's aggregates that have parked events, and whether `ticket_counts` is filled.
    """
    parameters = {
        "from": batch.position,
        "to": batch.entries[-1].position,
        "aggregate_ids": list({entry.aggregate_id for entry in batch.entries}),
    }
    row = conn.execute(sql["claim_batch" if wait else "claim_batch_unless_locked"], parameters).fetchone()
    if row is None:
        raise Overtaken
    parked_ids, counted, _ = row
    return set(parked_ids), counted


def _project_events(
    conn: Connection,
    vault: Vault,
    encrypted: Sequence[PositionedEvent],
    counts: TicketCounts,
    late_at: int | None = None,
) -> PastTickets:
    """Write all tables but those that are written without a search for existing rows: the past states of
    tickets, which are returned, `audit_events`, and `ticket_counts`, whose changes are added to `counts`.
    Names get the position `late_at`, if given, instead of that of their event."""
    past, search = PastTickets(), SearchChanges()
    plain = decrypt_events(conn, vault, [event for _, event in encrypted])
    events = [(position, event) for (position, _), event in zip(encrypted, plain, strict=True)]
    for _, event in events:
        if type(event) not in PROJECTED and type(event) not in AUDITED_ONLY:
            raise CannotProject(f"no projector handles {event.tag}")
    named = [(late_at, event) for _, event in events] if late_at else events
    properties = [each for each in named if type(each[1]) in project_properties.KINDS]
    users = [each for each in named if type(each[1]) in project_users.KINDS]
    tickets = [each for each in events if type(each[1]) in project_tickets.KINDS]
    property_rows = project_properties.select_rows(conn, properties)
    user_rows = project_users.select_rows(conn, users)
    ticket_rows = project_tickets.select_rows(conn, tickets)
    if properties:
        project_properties.project(conn, properties, property_rows)
    if users:
        project_users.project(conn, users, user_rows)
    if tickets:
        project_tickets.project(conn, tickets, ticket_rows, past, counts, search)
    past.write_texts(conn)
    search.put_past_texts(past.texts)
    search.write(conn)
    return past


def _audit_if_decodable(conn: Connection, batch: Batch) -> None:
    """Write the audit rows of a parked batch. Logs the batch if its events cannot be decoded or stored."""
    try:
        with conn.transaction():
            audited = [(entry.position, decode(entry.state)) for entry in batch.entries]
            project_audit.project(conn, audited, project_audit.select_rows(conn, audited))
    except (msgspec.DecodeError, psycopg.DataError) as error:
        log.error("event_not_audited", position=batch.entries[0].position, error=describe_error(error))


def _park(conn: Connection, entries: Sequence[Entry], error: str) -> None:
    if not entries:
        return
    arrays = {
        "positions": [entry.position for entry in entries],
        "aggregate_ids": [entry.aggregate_id for entry in entries],
        "errors": [error.replace("\0", "")] * len(entries),
    }
    conn.execute(sql["park_events"], arrays)
    for entry in entries:
        log.error("event_parked", position=entry.position, aggregate_id=entry.aggregate_id)
