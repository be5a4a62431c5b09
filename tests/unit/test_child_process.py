"""Work in a child process: its result, its progress, and its end."""

import os
import signal

import pytest

from cli.child_process import EndedEarly, run_in_child
from tests.support.waiting import eventually


def test_the_result_and_the_progress_are_returned():
    shown = []
    parent_id = os.getpid()

    def work(progress):
        progress(1, 2)
        progress(2, 2)
        return os.getpid()

    with run_in_child(work) as child:
        assert child.wait(lambda *reached: shown.append(reached)) != parent_id
    assert shown == [(1, 2), (2, 2)]


def test_an_exception_of_the_work_is_raised_by_wait():
    def work(progress):
        raise LookupError("not there")

    with run_in_child(work) as child, pytest.raises(LookupError, match="not there"):
        child.wait(lambda *reached: None)


def test_a_killed_child_raises_ended_early():
    def work(progress):
        os.kill(os.getpid(), signal.SIGKILL)

    with run_in_child(work) as child, pytest.raises(EndedEarly, match="was killed"):
        child.wait(lambda *reached: None)


def test_the_child_ignores_ctrl_c():
    def work(progress):
        os.kill(os.getpid(), signal.SIGINT)
        return "done"

    with run_in_child(work) as child:
        assert child.wait(lambda *reached: None) == "done"


def test_the_process_ends_with_the_block(tmp_path):
    started = tmp_path / "started"

    def work(progress):
        started.write_text(str(os.getpid()))
        signal.pause()

    with run_in_child(work):
        eventually(started.exists, 10)
        eventually(lambda: started.read_text(), 10)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_wait_raises_when_the_work_is_ended():
    def work(progress):
        progress(1, 2)
        signal.pause()

    with run_in_child(work) as child, pytest.raises(EndedEarly):
        child.wait(lambda *reached: child.end())
