"""Errors in logs: their text, without personal data, and not a line for each of many."""

from __future__ import annotations

import psycopg
import pytest
from structlog.testing import capture_logs

from infrastructure.process import failures
from infrastructure.process.failures import FailureLog, describe_error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            psycopg.OperationalError("it is lost\nmore"),
            "OperationalError: it is lost",
        ),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_an_error_is_described_by_its_type_and_text(error, text):
    assert describe_error(error) == text


def test_an_error_about_a_value_is_described_by_its_place():
    try:
        {}["jane@example.com"]
    except KeyError as error:
        text = describe_error(error)

    assert text.startswith("KeyError: at ")
    assert "test_failures.py:" in text


def test_repeated_failures_are_logged_at_growing_intervals_with_their_number(monkeypatch):
    now = 0.0
    monkeypatch.setattr(failures.time, "monotonic", lambda: now)
    failing = FailureLog("work_failed")

    with capture_logs() as lines:
        while now < 200:
            failing.add(OSError("away"))
            now += 0.1
        now += 61
        failing.add(OSError("away"))

    assert [line["times"] for line in lines] == pytest.approx(
        [1, 10, 20, 40, 80, 160, 320, 600, 600, 1], abs=2
    )
    assert {line["error"] for line in lines} == {"OSError: away"}
