"""The entry point of the command `ticketing`."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command and run it.

    Until the modules are imported, Ctrl-C ends the process without Python: an exception that a signal handler
    raises can be lost, for example in a callback of the import system, and the command would run on.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # otherwise the parent has made the process ignore the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run

    signal.signal(signal.SIGINT, handler)
    run()
