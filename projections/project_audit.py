"""Fills the table `audit_events`: every event of the log, of whatever kind, by what auditors ask for.

It knows no kind of event but by its fields, so that new kinds are covered as they come: `property_id` or
`property_ids` say where the subject belongs from now on, `subject_id` names a subject that is not the
aggregate itself. An event that tells nothing of properties concerns those of its subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from infrastructure.storage.postgres import Connection, named_queries
from projections import project_properties
from projections.folding import Cursor, write_rows

_sql = named_queries(Path(__file__).parent / "sql" / "project_audit.sql")

COLUMNS = (
    *("position", "occurred_at", "action", "actor_id", "key_id", "subject_id", "property_ids", "left_ids"),
    "request_id",
)  # of the table audit_events, which has no others
Positioned = tuple[int, DomainEvent]
Homes = dict[str, tuple[str, ...]]  # for each subject the properties it belongs to


def select_rows(conn: Connection, events: Sequence[Positioned]) -> Cursor | None:
    """Ask where the subjects of these events belong; None when all of them are new."""
    ids = known_subjects(events)
    return conn.execute(_sql["select_subjects"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[Positioned], existing: Cursor | None) -> None:
    """Write a row for each of the events."""
    rows = rows_of(events, homes_in(existing))
    write_rows(conn, _sql["insert_audit_events"], [dict(zip(COLUMNS, row, strict=True)) for row in rows])


def known_subjects(events: Sequence[Positioned]) -> list[str]:
    """Those that were there before these events."""
    begun = {event.originator_id for _, event in events if event.originator_version == 1}
    return list({subject_of(event) for _, event in events} - begun)


def homes_in(existing: Cursor | None) -> Homes:
    return {
        subject_id: tuple(id for id in property_ids if id not in (left_ids or ()))
        for subject_id, property_ids, left_ids in existing or ()
    }


def rows_of(events: Sequence[Positioned], homes: Homes) -> list[tuple[Any, ...]]:
    """A row for each of the events, in the order of COLUMNS. `homes` is brought up to after the last."""
    return [_row(*positioned, homes) for positioned in events]


def subject_of(event: DomainEvent) -> str:
    """What the event concerns: its aggregate, unless it names another thing."""
    return getattr(event, "subject_id", None) or event.originator_id


def _row(position: int, event: DomainEvent, homes: Homes) -> tuple[Any, ...]:
    subject_id = subject_of(event)
    before = homes.get(subject_id, ())
    after = _properties_in(event)
    if after is None:
        after = before
    homes[subject_id] = after
    left = [property_id for property_id in before if property_id not in after]
    actor = event.actor
    return (
        position,
        event.occurred_at,
        event.tag,
        actor.user_id or actor.credential_id or actor.auth,
        actor.credential_id,
        subject_id,
        [*after, *left],
        left or None,
        event.request_id,
    )


def _properties_in(event: DomainEvent) -> tuple[str, ...] | None:
    """The properties the event names; None when it is silent about them."""
    if type(event) in project_properties.KINDS:
        return (event.originator_id,)
    property_id: str | None = getattr(event, "property_id", None)
    if property_id is not None:
        return (property_id,)
    property_ids: Sequence[str] | None = getattr(event, "property_ids", None)
    return None if property_ids is None else tuple(property_ids)
