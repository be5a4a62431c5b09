"""A comment on a ticket."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Visibility = Literal["public", "internal"]


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A comment with its present text, which the event of the version `text_version` has."""

    id: str
    text: str
    visibility: Visibility
    author_id: str
    created_at: datetime
    text_version: int
    edited_at: datetime | None = None
