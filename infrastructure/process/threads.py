"""Threads that run as long as their process: when one of them fails, the process ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

THREAD_FAILED = 70  # the exit code; EX_SOFTWARE of sysexits.h

log = structlog.get_logger()


def start_watched(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Start a thread that runs `work` until it returns.

    An exception that escapes `work` is logged and ends the process immediately with exit code THREAD_FAILED,
    so that its supervisor restarts it. Otherwise the process would look healthy without the work of this
    thread.
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
