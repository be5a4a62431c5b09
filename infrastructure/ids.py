"""New identifiers, the only place where they are drawn."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A lower-case UUIDv7 (RFC 9562): opaque to clients, near its neighbours in time in every index."""
    return str(uuid_utils.uuid7())
