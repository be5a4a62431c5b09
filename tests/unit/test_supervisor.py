"""What is started again waits longer each time, however often it has failed."""

import os
import time

from cli.supervisor import Child, delay_after


def test_delays_double_up_to_half_a_minute():
    assert [delay_after(failures) for failures in range(1, 10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_fails_all_night_does_not_end_the_supervisor():
    assert delay_after(100_000) == 30


def test_a_process_runs_although_its_log_cannot_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file where the folder should be")
    started = Child("child", ["cat", "/dev/zero"], os.environ, tmp_path / "logs" / "child.log")

    started.keep_running()

    try:
        assert (started.failures, started.is_running) == (0, True)
    finally:
        started.wait_or_kill(time.monotonic())


def test_a_process_that_cannot_be_started_is_tried_again_later(tmp_path):
    absent = Child("child", [str(tmp_path / "absent")], os.environ, tmp_path / "child.log")

    absent.keep_running()
    absent.keep_running()

    assert absent.failures == 1
