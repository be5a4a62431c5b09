"""Makes all new ids."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A new UUIDv7 in lower case (RFC 9562). Later ids sort after earlier ones."""
    return str(uuid_utils.uuid7())
