"""The supervisor restarts processes, with a longer delay after each failure."""

import os
import time

from cli.supervisor import Child, delay_after


def test_delays_double_up_to_half_a_minute():
    assert [delay_after(failures) for failures in range(1, 10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_delay_stays_bounded_after_many_failures():
    assert delay_after(100_000) == 30


def test_a_process_runs_although_its_log_cannot_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file where the folder should be")
    started = Child("child", ["cat", "/dev/zero"], os.environ, tmp_path / "logs" / "child.log")

    started.keep_running()

    try:
        assert (started.failures, started.is_running) == (0, True)
    finally:
        started.wait_or_kill(time.monotonic())


def test_a_process_that_cannot_be_started_is_retried_after_a_delay(tmp_path):
    absent = Child("child", [str(tmp_path / "absent")], os.environ, tmp_path / "child.log")
    absent.failures = 19  # the next delay is the longest

    absent.keep_running()
    absent.keep_running()

    assert absent.failures == 20


def test_a_process_starts_without_delay_after_its_failures_are_forgotten(tmp_path):
    """`ticketing up` forgets the failures when PostgreSQL, which the processes need, runs again."""
    program = tmp_path / "program"
    child = Child("child", [str(program)], os.environ, tmp_path / "child.log")
    child.failures = 20
    child.keep_running()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    child.keep_running()
    assert not child.is_running

    child.forget_failures()
    child.keep_running()

    try:
        assert (child.failures, child.is_running) == (0, True)
    finally:
        child.wait_or_kill(time.monotonic())
