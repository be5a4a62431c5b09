"""Threads that last as long as their process: none of them ends while the process goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

THREAD_FAILED = 70  # the exit code; EX_SOFTWARE of sysexits.h

log = structlog.get_logger()


def start_watched(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Start a thread whose work returns only when it is asked to.

    An exception that escapes the work is logged and ends the process at once with exit code THREAD_FAILED,
    for its supervisor to start it again: a process that lacks a thread looks alive and does half its work.
    """

    def watched() -> None:
        try:
            work()
        except BaseException as error:
            log.critical("thread_failed", thread=name, exc_info=error)
            os._exit(THREAD_FAILED)

    thread = threading.Thread(target=watched, name=name, daemon=True)
    thread.start()
    return thread
