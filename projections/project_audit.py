"""Fills the table `audit_events`: one row for each event of the log, with the values that auditors search.

It reads fields by name, so new events need no change here. `property_id` or `property_ids` are the properties
to which the event's subject belongs from now on. `subject_id` names a subject other than the aggregate. An
event without these fields concerns the properties of its subject. `former_requester_id` is a person for
whom a ticket is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
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

OF_REQUESTER = "~"  # precedes the id of a former requester in `left_ids`, because a property may have that id
PropertiesBySubject = dict[int, tuple[str, ...]]  # the ids of the properties of each subject, by its key


def select_rows(conn: Connection, events: Sequence[PositionedEvent]) -> Cursor | None:
    """Select the properties of the subjects of these events; None when every subject is new."""
    keys = known_subjects(events)
    return conn.execute(_sql["select_subjects"], {"keys": keys}) if keys else None


def project(conn: Connection, events: Sequence[PositionedEvent], existing: Cursor | None) -> None:
    """Write one row for each event."""
    rows = make_rows(events, read_properties(existing))
    insert_rows(conn, "audit_events", _sql["insert_audit_events"], rows)


def known_subjects(events: Sequence[PositionedEvent]) -> list[int]:
    """The keys of the subjects that are older than these events."""
    new = {event.originator_id for _, event in events if event.originator_version == 1}
    return [key_of(subject_id) for subject_id in {subject_of(event) for _, event in events} - new]


def read_properties(existing: Cursor | None) -> PropertiesBySubject:
    """The properties of each subject, from the rows of select_subjects."""
    return {
        key: tuple(each for each in property_ids.split() if each not in (left_ids or "").split())
        for key, property_ids, left_ids in existing or ()
    }


def make_rows(events: Sequence[PositionedEvent], properties: PropertiesBySubject) -> list[AuditRow]:
    """One row for each event. Updates `properties` to the state after the last event."""
    return [_make_row(position, event, properties) for position, event in events]


def subject_of(event: DomainEvent) -> str:
    """The id of the object that the event concerns: its `subject_id`, or else its aggregate."""
    subject_id: str | None = getattr(event, "subject_id", None) if _has_subject(type(event)) else None
    return subject_id or event.originator_id


def key_of(text: str) -> int:
    """The key of an id: 8 bytes, where most ids have 36. It is a hash, so readers compare the id too."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _make_row(position: int, event: DomainEvent, properties: PropertiesBySubject) -> AuditRow:
    subject_key = key_of(subject_of(event))
    before = properties.get(subject_key, ())
    after = _properties_in(event)
    if after is None:
        after = before
    if after is before:
        left_ids = []
    else:
        properties[subject_key] = after
        left_ids = [property_id for property_id in before if property_id not in after]
    former_id = _former_requester_of(event)
    actor = event.actor
    return AuditRow(
        position=position,
        occurred_at=event.occurred_at,
        action=event.tag,
        actor_id=actor.user_id or actor.credential_id or actor.auth,
        key_id=actor.credential_id,
        subject_key=subject_key,
        property_ids=" ".join((*after, *left_ids)),
        left_ids=" ".join(left_ids) or (former_id and OF_REQUESTER + former_id),
        request_key=key_of(event.request_id),
    )


@cache  # because the row of every event needs it
def _has_subject(kind: type[DomainEvent]) -> bool:
    return "subject_id" in kind.__struct_fields__


def _former_requester_of(event: DomainEvent) -> str | None:
    return getattr(event, "former_requester_id", None) if _has_former_requester(type(event)) else None


@cache
def _has_former_requester(kind: type[DomainEvent]) -> bool:
    return "former_requester_id" in kind.__struct_fields__


@cache
def _names_properties(kind: type[DomainEvent]) -> bool:
    return kind in project_properties.KINDS or not {"property_id", "property_ids"}.isdisjoint(
        kind.__struct_fields__
    )


def _properties_in(event: DomainEvent) -> tuple[str, ...] | None:
    """The ids of the properties that the event names; None when it names none."""
    if not _names_properties(type(event)):
        return None
    if type(event) in project_properties.KINDS:
        return (event.originator_id,)
    property_id: str | None = getattr(event, "property_id", None)
    if property_id is not None:
        return (property_id,)
    property_ids: Sequence[str] | None = getattr(event, "property_ids", None)
    return None if property_ids is None else tuple(property_ids)
