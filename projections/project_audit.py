"""Fills the table `audit_events`: one row for each event of the log, with the values that auditors search.

It reads fields by name, so new events need no change here. `property_id` or `property_ids` are the properties
to which the event's subject belongs from now on. `subject_id` names a subject other than the aggregate. An
event without these fields concerns the properties of its subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domain.aggregate import DomainEvent
from infrastructure.storage.postgres import Connection, named_queries
from projections import project_properties
from projections.folding import Cursor, PositionedEvent, insert_rows
from projections.rows import AuditRow, columns_of, compose

_sql = {
    name: compose(statement, columns=columns_of(AuditRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_audit.sql").items()
}

PropertiesBySubject = dict[str, tuple[str, ...]]  # the ids of the properties that each subject belongs to


def select_rows(conn: Connection, events: Sequence[PositionedEvent]) -> Cursor | None:
    """Select the properties of the subjects of these events; None when every subject is new."""
    ids = known_subjects(events)
    return conn.execute(_sql["select_subjects"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[PositionedEvent], existing: Cursor | None) -> None:
    """Write one row for each event."""
    rows = make_rows(events, read_properties(existing))
    insert_rows(conn, "audit_events", _sql["insert_audit_events"], rows)


def known_subjects(events: Sequence[PositionedEvent]) -> list[str]:
    """The ids of the subjects that are older than these events."""
    new = {event.originator_id for _, event in events if event.originator_version == 1}
    return list({subject_of(event) for _, event in events} - new)


def read_properties(existing: Cursor | None) -> PropertiesBySubject:
    """The properties of each subject, from the rows of select_subjects."""
    return {
        subject_id: tuple(each for each in property_ids if each not in (left_ids or ()))
        for subject_id, property_ids, left_ids in existing or ()
    }


def make_rows(events: Sequence[PositionedEvent], properties: PropertiesBySubject) -> list[AuditRow]:
    """One row for each event. Updates `properties` to the state after the last event."""
    return [_make_row(position, event, properties) for position, event in events]


def subject_of(event: DomainEvent) -> str:
    """The id of the object that the event concerns: its `subject_id`, or else its aggregate."""
    return getattr(event, "subject_id", None) or event.originator_id


def _make_row(position: int, event: DomainEvent, properties: PropertiesBySubject) -> AuditRow:
    subject_id = subject_of(event)
    before = properties.get(subject_id, ())
    after = _properties_in(event)
    if after is None:
        after = before
    properties[subject_id] = after
    left_ids = [property_id for property_id in before if property_id not in after]
    actor = event.actor
    return AuditRow(
        position=position,
        occurred_at=event.occurred_at,
        action=event.tag,
        actor_id=actor.user_id or actor.credential_id or actor.auth,
        key_id=actor.credential_id,
        subject_id=subject_id,
        property_ids=[*after, *left_ids],
        left_ids=left_ids or None,
        request_id=event.request_id,
    )


def _properties_in(event: DomainEvent) -> tuple[str, ...] | None:
    """The ids of the properties that the event names; None when it names none."""
    if type(event) in project_properties.KINDS:
        return (event.originator_id,)
    property_id: str | None = getattr(event, "property_id", None)
    if property_id is not None:
        return (property_id,)
    property_ids: Sequence[str] | None = getattr(event, "property_ids", None)
    return None if property_ids is None else tuple(property_ids)
