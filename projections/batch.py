"""One page of the log into the read tables: one transaction, position included, poison set aside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
import structlog

from domain.aggregate import DomainEvent
from domain.property import PropertyRenamed
from domain.user import UserErased, UserNameChanged
from infrastructure.keys.privacy import decrypt_events
from infrastructure.keys.vault import Vault
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, named_queries
from projections import project_audit, project_properties, project_tickets, project_users
from projections.project_past_tickets import PastStates

sql = named_queries(Path(__file__).parent / "sql" / "runner.sql")
log = structlog.get_logger()

_RENAMES = frozenset({PropertyRenamed, UserNameChanged, UserErased})


class Entry(NamedTuple):
    """One row of the log, not decoded yet: decoding may be what fails."""

    position: int
    aggregate_id: str
    state: bytes


class Page(NamedTuple):
    """What follows `position` in the log."""

    position: int
    entries: list[Entry]


class Overtaken(Exception):
    """Another process moved the position, or holds it and we were told not to wait."""


def read_page(conn: Connection, limit: int, up_to: int | None = None) -> Page:
    """The next `limit` entries after the tables' position, none past `up_to`."""
    with conn.cursor(binary=True) as cur:
        rows = cur.execute(sql["read_page"], {"limit": limit}).fetchall()
    entries = [Entry(*row[1:]) for row in rows if row[1] is not None]
    return Page(rows[0][0], [entry for entry in entries if up_to is None or entry.position <= up_to])


def project_page(
    conn: Connection, vault: Vault, page: Page, *, wait: bool, history: bool = True
) -> PastStates:
    """Project the page and move the position behind it, or change nothing and raise.

    Events of an aggregate that has a parked one are parked behind it. Without `history` the tables
    `past_tickets` and `audit_events` are left as they are; what belongs into the former is returned.
    """
    past = PastStates()
    with conn.pipeline(), conn.transaction():
        parked = _claim(conn, page, wait=wait)
        behind = [entry for entry in page.entries if entry.aggregate_id in parked]
        audited = [(entry.position, decode(entry.state)) for entry in page.entries]
        audit_rows = project_audit.select_rows(conn, audited) if history else None
        waiting = {entry.position for entry in behind}
        events = [event for position, event in audited if position not in waiting]
        for _, run in groupby(decrypt_events(conn, vault, events), key=_renames):
            _project_run(conn, list(run), past)
        past.write_texts(conn)
        if history:
            past.write_tickets(conn)
            project_audit.project(conn, audited, audit_rows)
        _park(conn, behind, "waits behind an earlier event of the same aggregate")
    return past


def park_page(conn: Connection, page: Page, error: Exception, *, history: bool = True) -> None:
    """Set a page aside that cannot be projected, and move the position behind it."""
    with conn.transaction():
        _claim(conn, page, wait=True)
        if history:
            _audit_what_can_be_read(conn, page)
        _park(conn, page.entries, f"{type(error).__name__}: {error}"[:2_000])


def is_transient(error: Exception) -> bool:
    """Whether the same page may pass later: the server was away, busy, or is not set up.

    What PostgreSQL says about the values themselves (class 22 and 23, and 54: a limit of the program) is
    as lasting as an exception of our own.
    """
    if not isinstance(error, psycopg.Error):
        return False
    return (error.sqlstate or "")[:2] not in {"22", "23", "54"}


def _claim(conn: Connection, page: Page, *, wait: bool) -> set[str]:
    """Move the position behind the page and hold it for this transaction; return which of the page's
    aggregates have parked events."""
    parameters = {
        "from": page.position,
        "to": page.entries[-1].position,
        "aggregate_ids": list({entry.aggregate_id for entry in page.entries}),
    }
    row = conn.execute(sql["claim_page" if wait else "claim_page_unless_locked"], parameters).fetchone()
    if row is None:
        raise Overtaken
    return set(row[0])


def _renames(event: DomainEvent) -> bool:
    return type(event) in _RENAMES


def _project_run(conn: Connection, events: Sequence[DomainEvent], past: PastStates) -> None:
    """Project events that all give new names, or none of which does.

    A rename concerns the tickets as they stood before it. Runs keep that order, so that the tables do
    not depend on where the log was cut into pages.
    """
    properties = [event for event in events if type(event) in project_properties.KINDS]
    users = [event for event in events if type(event) in project_users.KINDS]
    tickets = [event for event in events if type(event) in project_tickets.KINDS]
    property_rows = project_properties.select_rows(conn, properties)
    user_rows = project_users.select_rows(conn, users)
    ticket_rows = project_tickets.select_rows(conn, tickets)
    if properties:
        project_properties.project(conn, properties, property_rows)
    if users:
        project_users.project(conn, users, user_rows)
    if tickets:
        project_tickets.project(conn, tickets, ticket_rows, past)


def _audit_what_can_be_read(conn: Connection, page: Page) -> None:
    """An event that no table can show has happened all the same, and auditors look for it."""
    try:
        with conn.transaction():
            audited = [(entry.position, decode(entry.state)) for entry in page.entries]
            project_audit.project(conn, audited, project_audit.select_rows(conn, audited))
    except (msgspec.DecodeError, psycopg.DataError) as error:
        log.error("event_not_audited", position=page.entries[0].position, error=type(error).__name__)


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
