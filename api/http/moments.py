"""Parameters that are times: `as_of`, a moment in the past, and spans of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.errors import Invalid

_REST_OF_THE_SECOND = timedelta(microseconds=999_999)


def require_span(after_name: str, after: datetime | None, before_name: str, before: datetime | None) -> None:
    """Raise Invalid if nothing can lie between the two times, because the second is not later."""
    if after is not None and before is not None and before <= after:
        raise Invalid({before_name: [f"The {before_name} parameter must be later than {after_name}."]})


def moment_of(as_of: datetime) -> datetime:
    """The last moment that `as_of` includes. Raises Invalid if it lies in the future.

    Answers show times cut to whole seconds. A time without a fraction therefore includes its whole second:
    an event shown at 15:30:00 is included as of 15:30:00.
    """
    if as_of > datetime.now(UTC):
        raise Invalid({"as_of": ["The as_of parameter lies in the future."]})
    return as_of if as_of.microsecond else as_of + _REST_OF_THE_SECOND
