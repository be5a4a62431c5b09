"""The events of the audit trail in words, with names instead of ids."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from projections.audit import AuditEntry
from projections.audit_names import AuditNames
from projections.views import Reference

_AUTH = {
    "api_key": "with an API key",
    "oauth": "through an application",
    "session": "in the panel",
    "cli": "on the command line",
    "system": "by the system",
}
_OPERATORS = {"cli": "Operator", "system": "System"}


class ShownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a page shows it. A Reference has an id and a name, which is the id if there is no name.

    `path` is the page of the object, if it has one. `content` is the event's own fields as JSON.
    """

    entry: AuditEntry
    did: str
    who: Reference
    how: str
    key: Reference | None
    subject: Reference
    path: str | None
    properties: list[Reference]
    content: str
    imported_from: str | None


def action_words(action: str) -> str:
    """The type of an event in words: `ticket.status_changed` is "Ticket status changed"."""
    words = action.replace(".", " ").replace("_", " ")
    words = words.replace("oauth", "OAuth").replace("api ", "API ")
    return words[:1].upper() + words[1:]


def shown_events(entries: Sequence[AuditEntry], names: AuditNames) -> list[ShownEvent]:
    """The events, in the same order."""
    return [_shown(entry, names) for entry in entries]


def _shown(entry: AuditEntry, names: AuditNames) -> ShownEvent:
    key_id = entry.auth.key_id
    is_key = entry.auth.kind in ("api_key", "oauth")
    key = Reference(key_id, names.keys.get(key_id, key_id)) if key_id and is_key else None
    return ShownEvent(
        entry=entry,
        did=action_words(entry.action),
        who=entry.actor.user or key or Reference(entry.auth.kind, _OPERATORS.get(entry.auth.kind, "System")),
        how=_AUTH[entry.auth.kind],
        key=key,
        subject=_subject(entry, names),
        path=_path(entry, names),
        properties=[Reference(each, names.properties.get(each, each)) for each in entry.property_ids],
        content=msgspec.json.encode(entry.facts).decode(),
        imported_from=None if entry.imported is UNSET else entry.imported.source,
    )


def _subject(entry: AuditEntry, names: AuditNames) -> Reference:
    subject_id = entry.subject_id
    if number := names.tickets.get(subject_id):
        return Reference(subject_id, f"Ticket #{number}")
    for known in (names.people, names.properties, names.keys):
        if name := known.get(subject_id):
            return Reference(subject_id, name)
    return Reference(subject_id, subject_id)


def _path(entry: AuditEntry, names: AuditNames) -> str | None:
    subject_id = entry.subject_id
    if subject_id in names.tickets:
        return f"/admin/tickets/{subject_id}/history"
    if entry.action.startswith("user.") and subject_id in names.people:
        return f"/admin/users/{subject_id}"
    return f"/admin/properties/{subject_id}" if subject_id in names.properties else None
