"""Follows a feed, such as `GET /v1/changes` or `GET /v1/events`, from a stored position."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from ticketing_client.calls import Call
from ticketing_client.transport import AsyncTransport, Transport


class PositionStore(Protocol):
    """Where a follower stores its position."""

    def load(self) -> str | None:
        """Return the position that was saved last, or None."""

    def save(self, position: str) -> None:
        """Store the position. Everything before it has been processed."""


class FeedPage(Protocol):
    """One answer of a feed. `position` is the `after` of the next request."""

    @property
    def position(self) -> str | int: ...

    @property
    def has_more(self) -> bool: ...


PageT = TypeVar("PageT", bound=FeedPage)


class PositionFile:
    """Stores a position in a file, which is replaced as a whole. One follower may use it at a time."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self) -> str | None:
        try:
            return self._path.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def save(self, position: str) -> None:
        written = self._path.with_name(self._path.name + ".new")
        with written.open("w", encoding="ascii") as file:
            file.write(position + "\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._path)


def follow(client: Transport, call: Call[PageT], store: PositionStore) -> Iterator[PageT]:
    """Yield the answers of the feed after the stored position.

    A position is saved when the next answer is asked for, so after an interruption the last answer is yielded
    again: processing it twice must have the same result. A call with `wait` is followed without end, and
    yields an answer without items when the wait ends; a call without `wait` ends when nothing more has
    changed. Raises ApiError or Unanswered after the last attempt of a request; calling `follow` again then
    continues at the stored position.
    """
    position = store.load()
    while True:
        page = client.send(_call_after(call, position)).data
        yield page
        position = _save(store, page, position)
        if _is_end(call, page):
            return


async def follow_async(
    client: AsyncTransport, call: Call[PageT], store: PositionStore
) -> AsyncIterator[PageT]:
    """Yield the answers of the feed after the stored position; see `follow`."""
    position = store.load()
    while True:
        page = (await client.send(_call_after(call, position))).data
        yield page
        position = _save(store, page, position)
        if _is_end(call, page):
            return


def _call_after(call: Call[PageT], position: str | None) -> Call[PageT]:
    return call if position is None else replace(call, query={**call.query, "after": position})


def _save(store: PositionStore, page: FeedPage, before: str | None) -> str:
    position = str(page.position)
    if position != before:
        store.save(position)
    return position


def _is_end(call: Call[Any], page: FeedPage) -> bool:
    return not call.query.get("wait") and not page.has_more
