"""What is started again waits longer each time, however often it has failed."""

from cli.supervisor import delay_after


def test_delays_double_up_to_half_a_minute():
    assert [delay_after(failures) for failures in range(1, 10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_fails_all_night_does_not_end_the_supervisor():
    assert delay_after(100_000) == 30
