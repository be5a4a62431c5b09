"""Recording reads of the audit trail and refused requests."""

from __future__ import annotations

import msgspec

from commands.deciding import create
from domain.access import Context
from domain.audit import AuditReading, Denial
from infrastructure.storage.event_store import EventStore


class NoteAuditReading(msgspec.Struct, frozen=True, kw_only=True):
    route: str
    filters: dict[str, str]
    times: int = 1


class NoteDenial(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    route: str
    code: str
    subject_id: str | None
    times: int = 1


def note_audit_reading(store: EventStore, command: NoteAuditReading, context: Context) -> AuditReading:
    """Record that the audit trail was read. The id of the aggregate is the command id."""
    reading = AuditReading.note(
        context.command_id, context, route=command.route, filters=command.filters, times=command.times
    )
    return create(store, reading, context)


def note_denial(store: EventStore, command: NoteDenial, context: Context) -> Denial:
    """Record that an authenticated caller was refused. The id of the aggregate is the command id."""
    denial = Denial.note(
        context.command_id,
        context,
        method=command.method,
        route=command.route,
        code=command.code,
        subject_id=command.subject_id,
        times=command.times,
    )
    return create(store, denial, context)
