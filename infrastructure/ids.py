"""Makes all new ids."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

import uuid_utils

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)


def new_id() -> str:
    """A new UUIDv7 in lower case (RFC 9562). Later ids sort after earlier ones."""
    return str(uuid_utils.uuid7())


def derive_id(base: str, text: str) -> str:
    """A UUIDv7 (RFC 9562, 5.7) with the time of `base`, another UUIDv7.

    Its random bits are computed from both arguments, so that the same arguments give the same id.
    """
    digest = hashlib.sha256(f"{base}/{text}".encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{base[:15]}{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


def time_of(made_id: str) -> datetime | None:
    """The time when the id was made, to the millisecond; None if it is not a UUIDv7."""
    if not _UUID7.fullmatch(made_id):
        return None
    return datetime.fromtimestamp(int(made_id[:8] + made_id[9:13], 16) / 1_000, UTC)
