"""How pages show how long ago a time was."""

from datetime import UTC, datetime, timedelta

import pytest

from pages.common.filters import age

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=-5), "just now"),  # the clock of another host is ahead
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=1), "1 h ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=29, hours=23), "29 d ago"),
        (timedelta(days=30), "30 Jan 2026"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit_with_the_exact_time(ago, text):
    at = NOW - ago
    shown = age(at, NOW)
    assert f">{text}</time>" in shown
    assert f'datetime="{at:%Y-%m-%dT%H:%M:%SZ}" title="{at.day} {at:%B %Y, %H:%M} UTC"' in shown
