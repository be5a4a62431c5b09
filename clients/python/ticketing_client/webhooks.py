"""Verifies the posts of webhooks: Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from ticketing_client.errors import TicketingError

TOLERANCE_SECONDS = 300
_PREFIX = "whsec_"


class BadSignature(TicketingError):
    """The post does not come from the API, was altered, or is too old. Answer it with 401."""


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """Return the payload of a post. Raises BadSignature.

    `body` are the bytes as they arrived. `now` is the time in seconds since 1970, by default of the clock.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = given["webhook-signature"].split()
    except (KeyError, ValueError):
        raise BadSignature("A header of the signature is missing or malformed.") from None
    if abs((time.time() if now is None else now) - timestamp) > tolerance_seconds:
        raise BadSignature(f"The post is more than {tolerance_seconds:g} seconds away from the clock.")
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    expected = "v1," + base64.b64encode(hmac.digest(_key_of(secret), signed, "sha256")).decode()
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures):
        raise BadSignature("No signature fits the body and the secret.")
    payload: dict[str, Any] = msgspec.json.decode(body, type=dict)
    return payload


def _key_of(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX))
    except binascii.Error:
        raise ValueError("The secret after whsec_ is not base64.") from None
