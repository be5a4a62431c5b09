"""Secrets that are handed out: drawing them, recognising their form, hashing them for keeping.

A secret is a prefix that names its kind, 43 random base62 characters (256 bits) and 6 of checksum, so
that a mistyped or made-up one is refused without a look-up and a leaked one is recognised by scanners
and by our own logs. Only the SHA-256 is kept (OWASP ASVS 5, 6.5.2: a plain hash is enough above 112
bits of entropy).
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

API_KEY = "mts_"
SESSION = "mtw_"  # a browser's session, in its cookie
OAUTH_ACCESS = "mto_"
OAUTH_REFRESH = "mtr_"
OAUTH_CODE = "mtc_"
OAUTH_CLIENT_SECRET = "mtk_"  # noqa: S105 - what such a secret begins with
FORM = "mtf_"  # ties a form to the browser it was shown to, before anyone is signed in

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 43
_CHECKSUM = 6


def make_token(prefix: str) -> str:
    """A new secret of that kind."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return prefix + random + _checksum(random)


def has_form(token: str, prefix: str) -> bool:
    """Whether the text can be a secret of that kind at all."""
    body = token.removeprefix(prefix)
    if len(body) != _RANDOM + _CHECKSUM or body == token or not body.isascii() or not body.isalnum():
        return False
    return secrets.compare_digest(_checksum(body[:_RANDOM]), body[_RANDOM:])


def digest(token: str) -> bytes:
    """What is kept of a secret, and what it is looked up by."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(random: str) -> str:
    number = zlib.crc32(random.encode())
    digits = []
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
