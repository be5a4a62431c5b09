"""Checks the triggers of the log (migrations/0001_event_log.sql)."""

from __future__ import annotations

from typing import LiteralString

from infrastructure.storage.postgres import Connection, fetch_value

_COUNT_TRIGGERS: LiteralString = (
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'es.stored_events'::regclass"
    "   AND tgname IN ('stored_events_enter', 'stored_events_append_only') AND tgenabled = 'A'"
)


class WatermarkMissing(Exception):
    """A trigger that makes the log append-only and safe to follow is absent or disabled."""


def verify_triggers(conn: Connection) -> None:
    """Raise WatermarkMissing unless both triggers of the log are enabled for every kind of session."""
    if fetch_value(conn, _COUNT_TRIGGERS, default=0) != 2:
        raise WatermarkMissing(
            "A trigger of es.stored_events is disabled; readers would miss events. Its owner must run:"
            " ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_enter,"
            " ENABLE ALWAYS TRIGGER stored_events_append_only"
        )
