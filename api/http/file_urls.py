"""Signed, expiring URLs of attachments: anyone who has such a URL may download the file until it expires."""

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
    """A URL that is valid for 15 to 30 minutes.

    It expires at a multiple of 15 minutes, so that the URL stays the same for a while and can be cached.
    """
    expires = str((int(now.timestamp()) // GRID_SECONDS + 2) * GRID_SECONDS)
    signature = _signature(attachment_id, expires, key)
    return f"{base_url}{PATH}/{attachment_id}?expires={expires}&signature={signature}"


def verify(attachment_id: str, expires: str, signature: str, key: bytes, now: datetime) -> bool:
    """Whether the signature is valid for this attachment and the URL has not expired."""
    if not _EXPIRES.fullmatch(expires) or now.timestamp() >= int(expires):
        return False
    expected = _signature(attachment_id, expires, key)
    return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))


def _signature(attachment_id: str, expires: str, key: bytes) -> str:
    # Because of the first line, a signature that this key made for another purpose is not valid here.
    message = f"attachment-url\n{attachment_id}\n{expires}".encode()
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
