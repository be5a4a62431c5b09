"""One request to the API, before it is sent, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Pagination(msgspec.Struct, kw_only=True):
    """Where a page is in its list. Lists that are read by cursor have no total."""

    count: int = 0
    per_page: int = 0
    total: int | None = None
    current_page: int | None = None
    total_pages: int | None = None
    links: dict[str, str] = {}


class Answer(msgspec.Struct, Generic[T], kw_only=True):
    """The `data` of an answer, its ETag (for `if_match` and `if_none_match`) and its headers.

    `is_unchanged`: the copy of `if_none_match` is current; then `data` must not be used.
    """

    data: T
    status: int
    headers: Mapping[str, str]
    pagination: Pagination | None = None

    @property
    def etag(self) -> str | None:
        return self.headers.get("etag")

    @property
    def is_unchanged(self) -> bool:
        return self.status == 304


class Upload(msgspec.Struct, frozen=True):
    """A file to upload."""

    filename: str
    content: bytes
    content_type: str = "application/octet-stream"


class Call(msgspec.Struct, Generic[T], kw_only=True):
    """One request. `answer` is the type of the answer's `data`; bytes for an answer that is not JSON."""

    method: str
    path: str
    answer: Any
    query: dict[str, Any] = {}
    body: msgspec.Struct | None = None
    files: dict[str, Upload] = {}
    headers: dict[str, str] = {}
    has_envelope: bool = True

    def parameters(self) -> dict[str, str]:
        """The query parameters that were given, as text."""
        return {name: _text(value) for name, value in self.query.items() if value is not None}

    def content(self) -> bytes | None:
        return None if self.body is None else _encode(self.body)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"The time {value} needs a time zone.")
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value))
    return str(value)
