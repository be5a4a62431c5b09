"""The names for ids in the audit trail, and the ids for the names that auditors type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from infrastructure.storage.postgres import Pool, fetch_value, named_queries
from projections.audit import AuditEntry
from projections.tickets import author_names, numbers_of

MOST_KEYS = 100
_OF_KEYS = ("api_key.", "oauth_")  # actions whose subjects are keys and applications

_sql = named_queries(Path(__file__).parent / "sql" / "audit_names.sql")


class AuditNames(msgspec.Struct, frozen=True, kw_only=True):
    """The current names by id, and the numbers of tickets by id. An id without a name is missing."""

    people: dict[str, str]
    keys: dict[str, str]
    properties: dict[str, str]
    tickets: dict[str, int]


def names_of_entries(pool: Pool, entries: Sequence[AuditEntry], *, with_keys: bool) -> AuditNames:
    """The names of all ids in the entries. `with_keys`: the caller may see the names of keys."""
    subjects = {entry.subject_id for entry in entries if with_keys or not entry.action.startswith(_OF_KEYS)}
    keys = {entry.auth.key_id for entry in entries if entry.auth.key_id}
    properties = {each for entry in entries for each in entry.property_ids}
    tickets = {entry.subject_id for entry in entries if entry.action.startswith(("ticket.", "access."))}
    return AuditNames(
        people=author_names(pool, sorted(subjects)),
        keys=_names(pool, "keys", keys | subjects) if with_keys else {},
        properties=_names(pool, "properties", properties),
        tickets=numbers_of(pool, sorted(tickets)),
    )


def find_key_ids(pool: Pool, text: str) -> tuple[str, ...]:
    """The ids of the keys and applications with that id or name, at most MOST_KEYS."""
    return tuple(found for (found,) in pool.fetch(_sql["find_keys"], {"text": text, "limit": MOST_KEYS}))


def find_ticket_id(pool: Pool, number: int) -> str | None:
    """The id of the ticket with that number, also of a deleted one; None without one."""
    with pool.connection() as conn:
        return fetch_value(conn, _sql["ticket_numbered"], {"number": number}, default="") or None


def _names(pool: Pool, statement: str, ids: set[str]) -> dict[str, str]:
    return dict(pool.fetch(_sql[statement], {"ids": sorted(ids)})) if ids else {}
