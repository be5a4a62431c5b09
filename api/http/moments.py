"""The `as_of` parameter: a moment in the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.errors import Invalid

_REST_OF_THE_SECOND = timedelta(microseconds=999_999)


def moment_of(as_of: datetime) -> datetime:
    """The last moment that `as_of` includes. Raises Invalid if it lies in the future.

    Answers show times cut to whole seconds. A time without a fraction therefore includes its whole second:
    an event shown at 15:30:00 is included as of 15:30:00.
    """
    if as_of > datetime.now(UTC):
        raise Invalid({"as_of": ["The as_of parameter lies in the future."]})
    return as_of if as_of.microsecond else as_of + _REST_OF_THE_SECOND
