"""Ctrl-C ends the command `ticketing` also while its modules are imported."""

from __future__ import annotations

import signal
import subprocess
import sys

# Sends SIGINT in a callback during the import. An exception of a signal handler would be lost there.
# The parent of the tests may ignore SIGINT, as a shell does for commands in the background.
INTERRUPTED = """
import os, signal, sys, weakref

signal.signal(signal.SIGINT, signal.default_int_handler)

class Thing:
    pass

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "cli.main":
            thing = Thing()
            reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
            del thing

sys.meta_path.insert(0, Interrupt())
sys.argv = ["ticketing", "--help"]
{start}
"""


def run(start):
    command = [sys.executable, "-c", INTERRUPTED.format(start=start)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_signal_during_the_import_ends_the_process():
    assert run("from cli.start import main; main()").returncode == -signal.SIGINT


def test_without_the_entry_point_the_signal_is_lost():
    done = run("from cli.main import main; main()")
    assert (done.returncode, "KeyboardInterrupt" in done.stderr) == (0, True)


def test_a_signal_that_the_parent_ignores_stays_ignored():
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    assert run(f"{ignore}from cli.start import main; main()").returncode == 0
