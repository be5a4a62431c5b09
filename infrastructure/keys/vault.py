"""Encrypts secrets that must be readable again, under the master key of the installation.

AES-256-GCM (NIST SP 800-38D). The stored bytes are a version byte, the first four bytes of the SHA-256 of
the key, a random nonce of 12 bytes, and the ciphertext with its tag. The purpose is authenticated data, so
bytes that were encrypted for one purpose cannot be used for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.postgres import Connection, fetch_value

KEY_BYTES = 32
KEY_FILE = "master-key"
_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_CHECK = "master-key-check"
_HOW_TO = "To make one: python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"


class CannotDecrypt(Exception):
    """The bytes were encrypted under another key or for another purpose, or were altered."""


class Vault:
    """Encrypts with the first key and decrypts with any of them. To rotate, put a new key in front."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._newest = _key_id(keys[0])
        self._derivation_key = hmac.digest(keys[0], b"ticketing derivation key", "sha512")

    def encrypt(self, plaintext: bytes, *, purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self._newest].encrypt(nonce, plaintext, purpose.encode())
        return _VERSION + self._newest + nonce + ciphertext

    def decrypt(self, encrypted: bytes, *, purpose: str) -> bytes:
        """Return the plaintext. Raises CannotDecrypt."""
        version, rest = encrypted[:1], encrypted[1:]
        cipher = self._ciphers.get(rest[:_KEY_ID_BYTES])
        if version != _VERSION or cipher is None:
            raise CannotDecrypt("encrypted under a key that is not one of MASTER_KEY")
        nonce, ciphertext = rest[_KEY_ID_BYTES:][:_NONCE_BYTES], rest[_KEY_ID_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, purpose.encode())
        except InvalidTag:
            raise CannotDecrypt("altered, or encrypted for another purpose") from None

    def derive(self, text: str, *, purpose: str) -> bytes:
        """64 bytes that only a holder of the newest key can compute from the text, for one purpose."""
        return hmac.digest(self._derivation_key, f"{purpose}\0{text}".encode(), "sha512")


def load_vault(settings: Settings) -> Vault:
    """The vault for MASTER_KEY or, without it, for the key file in TICKETING_HOME. Raises BadSettings."""
    text = settings.master_key
    if text is None and (path := settings.home / KEY_FILE).exists():
        text = path.read_text()
    if text is None:
        raise BadSettings(f"MASTER_KEY is not set. It must be 32 random bytes in base64. {_HOW_TO}")
    return Vault([_key(part) for part in text.strip().split(",")])


def make_key_file(settings: Settings) -> None:
    """Make the key file, readable by its owner only, unless it exists or MASTER_KEY is set."""
    path = settings.home / KEY_FILE
    if settings.master_key is not None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{KEY_FILE}.{os.getpid()}")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)  # fails if another command has made the file
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def has_master_key(conn: Connection) -> bool:
    """Whether the database has secrets that are encrypted under a master key."""
    return bool(conn.execute("SELECT 1 FROM access.secrets WHERE name = %s", [_CHECK]).fetchone())


def verify_vault(conn: Connection, vault: Vault) -> None:
    """Raise BadSettings unless the secrets of the database are encrypted under this key.

    If the database has no master key yet, this key becomes its master key.
    """
    if not has_master_key(conn):  # writes only then, because the database may be read-only
        conn.execute(
            "INSERT INTO access.secrets (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
            [_CHECK, vault.encrypt(_CHECK.encode(), purpose=_CHECK)],
        )
    stored = fetch_value(conn, "SELECT value FROM access.secrets WHERE name = %s", [_CHECK], default=b"")
    try:
        vault.decrypt(stored, purpose=_CHECK)
    except CannotDecrypt:
        raise BadSettings(
            "MASTER_KEY is not the key of this database: its secrets cannot be decrypted. Set the"
            " right key, or both, the new one first, separated by a comma."
        ) from None


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadSettings(f"MASTER_KEY must be 32 random bytes in base64. {_HOW_TO}")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"ticketing master key\0" + key).digest()[:_KEY_ID_BYTES]
