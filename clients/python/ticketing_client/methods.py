"""Makes methods of the clients from the functions of requests.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from ticketing_client.calls import Answer, Call
from ticketing_client.transport import AsyncTransport, Transport

P = ParamSpec("P")
T = TypeVar("T")


def sync_method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Transport, P], Answer[T]]:
    """A method that sends the call and returns the answer."""

    @wraps(build)
    def method(client: Transport, /, *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        return client.send(build(*args, **kwargs))

    return method


def async_method(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncTransport, P], Awaitable[Answer[T]]]:
    """A method that sends the call and returns the answer when it is awaited."""

    @wraps(build)
    async def method(client: AsyncTransport, /, *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        return await client.send(build(*args, **kwargs))

    return method
