"""Makes all new ids."""

from __future__ import annotations

import hashlib

import uuid_utils


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
