"""Times as clients and webhooks see them."""

from __future__ import annotations

from datetime import UTC, datetime


def whole_seconds(moment: datetime | None) -> datetime:
    """The time, which has an offset, in UTC without its fraction of a second. Raises ValueError for None."""
    if moment is None:
        raise ValueError("an aggregate without events has no times")
    utc = moment.astimezone(UTC) if moment.utcoffset() else moment
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, tzinfo=UTC)
