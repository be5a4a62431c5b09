"""Makes new ids; all ids are made here."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A lower-case UUIDv7 (RFC 9562): opaque to clients, in the order of time in indexes."""
    return str(uuid_utils.uuid7())
