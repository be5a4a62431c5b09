"""A thread that fails ends its process, so that a supervisor starts it again."""

import json
import subprocess
import sys

import pytest

from infrastructure.process.threads import THREAD_FAILED

PROGRAM = """
import threading
from infrastructure.process.logs import configure_logs
from infrastructure.process.threads import start_watched

def fail():
    raise {error}

configure_logs("INFO")
start_watched(fail, name="worker")
threading.Event().wait()
"""
WAIT_SECONDS = 60


@pytest.mark.parametrize("error", ["ValueError('broken')", "SystemExit(0)", "MemoryError()"])
def test_an_unhandled_error_of_a_thread_ends_the_process(error):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(error=error)], capture_output=True, timeout=WAIT_SECONDS
    )

    line = json.loads(done.stderr)
    assert done.returncode == THREAD_FAILED
    assert (line["event"], line["thread"]) == ("thread_failed", "worker")
    assert error.partition("(")[0] in line["exception"]


def test_the_process_ends_even_when_the_error_cannot_be_logged():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(error="OSError")], stderr=full, timeout=WAIT_SECONDS
        )

    assert done.returncode == THREAD_FAILED
