"""Code shared by the followers of the log: pauses, restarts, and halving a batch that fails."""

from __future__ import annotations

import threading

import psycopg
import pytest
from structlog.testing import capture_logs

from infrastructure.process.following import Pause, TryAgain, is_transient, keep_running, process_some


def test_pauses_double_up_to_the_longest_and_start_again_after_a_reset():
    pause = Pause(0.1, 0.5)

    assert [pause.next_seconds() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    pause.reset()
    assert pause.next_seconds() == 0.1


def test_failing_work_is_repeated_until_it_returns():
    calls = []

    def fail_once():
        calls.append("call")
        if len(calls) == 1:
            raise ValueError("broken")

    keep_running(fail_once, threading.Event(), failure="work_failed")

    assert len(calls) == 2


def test_each_failure_is_logged_with_its_text_and_a_longer_wait():
    errors = [OSError("first"), OSError("second"), OSError("third")]

    def fail():
        if errors:
            raise errors.pop(0)

    with capture_logs() as lines:
        keep_running(fail, threading.Event(), failure="work_failed")

    assert [(line["error"], line["retry_in_seconds"]) for line in lines] == [
        ("OSError: first", 0.1),
        ("OSError: second", 0.2),
        ("OSError: third", 0.4),
    ]


def test_failing_work_is_not_repeated_after_the_stop():
    stop, calls = threading.Event(), []

    def stop_and_fail():
        calls.append("call")
        stop.set()
        raise ValueError("broken")

    keep_running(stop_and_fail, stop, failure="work_failed")

    assert len(calls) == 1


@pytest.mark.parametrize("failing", [{0}, {9}, {4, 5}, set(range(10)), set()])
def test_failing_items_are_set_aside_and_the_others_are_processed_in_order(failing):
    items, processed, set_aside = list(range(10)), [], []

    def process(batch):
        if failing & set(batch):
            raise ValueError("broken")
        processed.extend(batch)
        return len(batch)

    while items:
        count, result = process_some(items, process, lambda item, error: set_aside.append(item))
        assert result in (None, count)
        items = items[count:]

    assert set_aside == sorted(failing)
    assert processed == [item for item in range(10) if item not in failing]


@pytest.mark.parametrize("error", [psycopg.OperationalError("away"), TryAgain()])
def test_no_item_is_set_aside_after_a_transient_error(error):
    def process(batch):
        raise error

    with pytest.raises(type(error)):
        process_some([1, 2], process, lambda item, error: pytest.fail("set aside"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.UndefinedColumn(), True),
        (psycopg.errors.InvalidTextRepresentation(), False),
        (psycopg.errors.NotNullViolation(), False),
        (psycopg.errors.ProgramLimitExceeded(), False),
        (ValueError(), False),
    ],
)
def test_only_errors_about_the_values_are_permanent(error, expected):
    assert is_transient(error) is expected
