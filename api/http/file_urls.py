"""Signed, expiring addresses of attachments: whoever has one may download that file for a while."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime

PATH = "/v1/attachments"
GRID_SECONDS = 15 * 60
_EXPIRES = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)


def sign(base_url: str, attachment_id: str, key: bytes, now: datetime) -> str:
    """An address that works for 15 to 30 minutes.

    The expiry stands on a 15-minute grid, so that a file keeps its address for a while and caches help.
    """
    expires = str((int(now.timestamp()) // GRID_SECONDS + 2) * GRID_SECONDS)
    signature = _signature(attachment_id, expires, key)
    return f"{base_url}{PATH}/{attachment_id}?expires={expires}&signature={signature}"


def verify(attachment_id: str, expires: str, signature: str, key: bytes, now: datetime) -> bool:
    """Whether the address was signed by us, for this file, and has not expired."""
    if not _EXPIRES.fullmatch(expires) or now.timestamp() >= int(expires):
        return False
    expected = _signature(attachment_id, expires, key)
    return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))


def _signature(attachment_id: str, expires: str, key: bytes) -> str:
    # The first line keeps what is signed here apart from anything else signed with the same key.
    message = f"attachment-url\n{attachment_id}\n{expires}".encode()
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
