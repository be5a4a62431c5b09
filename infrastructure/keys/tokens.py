"""Tokens for clients, such as API keys: making them, checking their form, hashing them for storage.

A token has a prefix for its kind, 43 random base62 characters (256 bits) and a checksum of 6 characters. A
mistyped token is refused without a look-up, and scanners and the redaction of logs recognise a leaked one.
Only its SHA-256 is stored (OWASP ASVS 5, 6.5.2: above 112 bits of entropy a plain hash is enough).
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
OAUTH_CLIENT_SECRET = "mtk_"  # noqa: S105 - the prefix of the secret
ONE_TIME_LINK = "mtl_"  # in the address with which a person sets a password
FORM = "mtf_"  # binds the sign-in form to a browser

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 43
_CHECKSUM = 6


def make_token(prefix: str) -> str:
    """A new token with this prefix."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return prefix + random + _checksum(random)


def derive_token(prefix: str, secret: bytes) -> str:
    """The token with this prefix that is computed from 64 secret bytes; always the same one."""
    number = int.from_bytes(secret[:64])  # 512 bits, so that the remainder is almost uniform
    random = _base62(number % len(_ALPHABET) ** _RANDOM, _RANDOM)
    return prefix + random + _checksum(random)


def has_form(token: str, prefix: str) -> bool:
    """Whether the text has the form of a token with this prefix, checksum included."""
    body = token.removeprefix(prefix)
    if len(body) != _RANDOM + _CHECKSUM or body == token or not body.isascii() or not body.isalnum():
        return False
    return secrets.compare_digest(_checksum(body[:_RANDOM]), body[_RANDOM:])


def digest(token: str) -> bytes:
    """The SHA-256 of the token, which is stored and by which it is found."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(random: str) -> str:
    return _base62(zlib.crc32(random.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
