"""Signs posts as Standard Webhooks (https://www.standardwebhooks.com) describes."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

from commands.webhooks import PREFIX


def key_of(secret: str) -> bytes:
    """The signing key of a secret: its base64 after `whsec_`, otherwise its UTF-8 bytes."""
    if secret.startswith(PREFIX):
        return base64.b64decode(secret.removeprefix(PREFIX))
    return secret.encode()


def sign(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers, with one signature for each key: during a rotation either secret verifies."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
