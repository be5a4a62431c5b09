"""A file that is attached to a ticket, without its content."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Attachment(msgspec.Struct, frozen=True):
    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    author_id: str = ""
