"""Positions of events that a restore has lost are not given to other events.

Readers keep positions: consumers of Kafka and of the feeds, receivers of webhooks, exports with a proof, and
people, because the number of a ticket is a position. A restored sequence would give the same ones again.
"""

from __future__ import annotations

from backups.snapshot import sql
from infrastructure.storage.postgres import Connection, fetch_value

SKIPPED = 100_000  # events since the last position that is known: of 5 minutes with 330 events/s


def skip_positions(conn: Connection, known: int, skipped: int = SKIPPED) -> int:
    """Give no event a position up to `known` plus `skipped`; return that position, or a later one if the
    sequence was there already. Needs the role that owns the log. Can be repeated."""
    return fetch_value(conn, sql["skip_positions"], {"position": known + skipped}, default=0)
