"""Whether a change that failed may have been made nevertheless, for the answer to its request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout


class _Thread(threading.local):
    """`may_have_changed`: the request of this thread has made a change, or may have."""

    may_have_changed = False


_this_thread = _Thread()


def forget_changes() -> None:
    """Begin a request: it has changed nothing yet."""
    _this_thread.may_have_changed = False


def may_have_changed() -> bool:
    """Whether the request of this thread has made a change, or may have."""
    return _this_thread.may_have_changed


@contextmanager
def making_change() -> Iterator[None]:
    """Run the block, which makes a change in one transaction. If it raises an error after which nothing is
    stored, the request counts as before."""
    before, _this_thread.may_have_changed = _this_thread.may_have_changed, True
    try:
        yield
    except Exception as error:
        if not (isinstance(error, psycopg.Error) and outcome_is_unknown(error)):
            _this_thread.may_have_changed = before
        raise


def outcome_is_unknown(error: psycopg.Error) -> bool:
    """Whether a change may have been stored although it raised: the connection ended before the reply.

    The errors with which the server ends a connection (class 57P: shut down, killed, crashed) can follow a
    commit, and so can those of a connection pooler that has lost the server (class 08). A statement that the
    server refused, and a pool without a free connection, stored nothing.
    """
    if isinstance(error, PoolTimeout):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("57P", "08"))
