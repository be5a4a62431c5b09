"""Work in a second process: its result, its progress, and how it ends."""

import os
import signal

import pytest

from cli.beside import EndedEarly, run_beside
from tests.support.waiting import eventually


def test_its_result_and_its_progress_arrive():
    shown = []
    here = os.getpid()

    def work(progress):
        progress(1, 2)
        progress(2, 2)
        return os.getpid()

    with run_beside(work) as other:
        assert other.wait(lambda *reached: shown.append(reached)) != here
    assert shown == [(1, 2), (2, 2)]


def test_what_it_raises_is_raised_here():
    def work(progress):
        raise LookupError("not there")

    with run_beside(work) as other, pytest.raises(LookupError, match="not there"):
        other.wait(lambda *reached: None)


def test_a_killed_one_is_told_of():
    def work(progress):
        os.kill(os.getpid(), signal.SIGKILL)

    with run_beside(work) as other, pytest.raises(EndedEarly, match="ended from outside"):
        other.wait(lambda *reached: None)


def test_a_ctrl_c_is_for_the_one_who_waits():
    def work(progress):
        os.kill(os.getpid(), signal.SIGINT)
        return "done"

    with run_beside(work) as other:
        assert other.wait(lambda *reached: None) == "done"


def test_it_is_ended_when_nobody_waits_any_more(tmp_path):
    started = tmp_path / "started"

    def work(progress):
        started.write_text(str(os.getpid()))
        signal.pause()

    with run_beside(work):
        eventually(started.exists, 10)
        eventually(lambda: started.read_text(), 10)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_one_that_is_ended_is_told_of_to_who_waits():
    def work(progress):
        progress(1, 2)
        signal.pause()

    with run_beside(work) as other, pytest.raises(EndedEarly):
        other.wait(lambda *reached: other.end())
