"""Projects parked events again: those that could not be projected, and the later ones of their aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from infrastructure.keys.vault import Vault
from infrastructure.process.following import process_some
from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from projections.batch import Entry, project_entries

BATCH_SIZE = 100
_sql = named_queries(Path(__file__).parent / "sql" / "parked_events.sql")


class Retried(NamedTuple):
    """How many parked events were projected, and how many are still parked."""

    projected: int
    parked: int


def retry_parked_events(
    conn: Connection, vault: Vault, aggregate_ids: Sequence[str] | None = None
) -> Retried:
    """Project the parked events of these aggregates, or of all, in the order of the log.

    `conn` comes from `connect_projector`. The projector waits during each transaction, which has at most
    BATCH_SIZE events of one aggregate. The first event of an aggregate that fails again stays parked with its
    new error, and so do later ones.
    """
    parameters = {"ids": None if aggregate_ids is None else list(aggregate_ids)}
    ids = [aggregate_id for (aggregate_id,) in conn.execute(_sql["list_aggregates"], parameters).fetchall()]
    projected = 0
    for aggregate_id in ids:
        while count := _project_next(conn, vault, aggregate_id):
            projected += count
    return Retried(projected, fetch_value(conn, _sql["count_parked"], {"ids": ids}, default=0))


def _project_next(conn: Connection, vault: Vault, aggregate_id: str) -> int:
    """Project the next parked events of the aggregate. Returns their number: 0 when none can be projected."""
    with conn.transaction():
        position = fetch_value(conn, _sql["lock_position"], default=0)
        parameters = {"id": aggregate_id, "limit": BATCH_SIZE}
        rows = conn.execute(_sql["select_entries"], parameters, binary=True).fetchall()
        return _project(conn, vault, [Entry(*row) for row in rows], position)


def _project(conn: Connection, vault: Vault, entries: Sequence[Entry], position: int) -> int:
    """Project the entries up to the first that fails. Returns their number."""
    done = 0
    while done < len(entries):
        count, is_projected = process_some(
            entries[done:],
            lambda some: _project_together(conn, vault, some, position),
            lambda entry, error: _note_error(conn, entry, error),
        )
        if not is_projected:
            break
        done += count
    return done


def _project_together(conn: Connection, vault: Vault, entries: Sequence[Entry], position: int) -> bool:
    """Project the entries and delete them from `parked_events`; on an exception nothing has changed.

    The audit rows that were written when an entry was parked are written again: an earlier event that could
    not be decoded may have changed the properties of the subject. Rows and names get the new `position`,
    so that clients read them after everything that they have read before.
    """
    with conn.transaction():
        conn.execute(_sql["delete_parked"], {"positions": [entry.position for entry in entries]})
        project_entries(
            conn, vault, entries, blocked_ids=frozenset(), history=True, counted=True, late_at=position
        )
    return True


def _note_error(conn: Connection, entry: Entry, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}"[:2_000].replace("\0", "")
    conn.execute(_sql["note_error"], {"position": entry.position, "error": text})
