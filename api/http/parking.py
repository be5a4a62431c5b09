"""Lets a request wait without a thread: the application asks the server to run it again later.

The server offers a Parking in the WSGI environment (server/parking.py). When the application asks to wait,
the server ignores its answer, keeps the connection, and runs the same request again when it is woken or its
time is over. The request is authenticated again then, but counted once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import falcon

PARKING = "ticketing.parking"  # the key in the WSGI environment

Wake = Callable[[], object]
Subscribe = Callable[[Wake], Callable[[], None]]  # returns how to end the subscription


class Parking:
    """What the server and the application tell each other about one run of a request.

    `until` is set by the server in a run after a wait: the time of the monotonic clock at which the wait
    ends. `subscribe` is set by the application if the request has to wait: the server calls it with the
    function that wakes the request.
    """

    def __init__(self, until: float | None = None) -> None:
        self.has_waited = until is not None
        self.until = until
        self.subscribe: Subscribe | None = None


def has_waited(req: falcon.Request) -> bool:
    """Whether this is a further run of the request, after a wait."""
    parking = _parking_of(req.env)
    return parking is not None and parking.has_waited


def can_wait(req: falcon.Request, seconds: float) -> bool:
    """Whether the request, which may wait so many seconds in total, still has time and a server that lets it
    wait."""
    parking = _parking_of(req.env)
    if parking is None:
        return False
    if parking.until is None:
        parking.until = time.monotonic() + seconds
    return parking.until > time.monotonic()


def wait(req: falcon.Request, subscribe: Subscribe) -> None:
    """Ask the server to run the request again when it is woken, or at the end of its time. `can_wait` must
    have been true."""
    parking = _parking_of(req.env)
    assert parking is not None
    parking.subscribe = subscribe
    req.context.is_waiting = True


def _parking_of(env: dict[str, Any]) -> Parking | None:
    parking: Parking | None = env.get(PARKING)
    return parking
