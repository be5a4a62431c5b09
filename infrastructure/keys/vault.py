"""Secrets that must be readable again, sealed under the installation's master key.

AES-256-GCM (NIST SP 800-38D). What is stored is a version byte, the first four bytes of the SHA-256 of the
key, a random nonce of 12 bytes and the ciphertext with its tag. The purpose is authenticated along, so that
what was sealed in one place cannot be put in another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.postgres import Connection

KEY_BYTES = 32
KEY_FILE = "master-key"
_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_CHECK = "master-key-check"
_HOW_TO = "python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())' makes one."


class CannotOpen(Exception):
    """It was sealed under another key or for another purpose, or was altered."""


class Vault:
    """Seals under the first key, opens under any: a key is rotated by putting a new one in front."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._newest = _key_id(keys[0])

    def seal(self, plaintext: bytes, *, purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, plaintext, purpose.encode())
        return _VERSION + self._newest + nonce + sealed

    def open(self, sealed: bytes, *, purpose: str) -> bytes:
        """The plaintext; raise CannotOpen."""
        version, rest = sealed[:1], sealed[1:]
        cipher = self._ciphers.get(rest[:_KEY_ID_BYTES])
        if version != _VERSION or cipher is None:
            raise CannotOpen("sealed under a key that is not among those of MASTER_KEY")
        nonce, ciphertext = rest[_KEY_ID_BYTES:][:_NONCE_BYTES], rest[_KEY_ID_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, purpose.encode())
        except InvalidTag:
            raise CannotOpen("altered, or sealed for another purpose") from None


def load_vault(settings: Settings) -> Vault:
    """The vault of MASTER_KEY or, without it, of the key file in TICKETING_HOME; raise BadSettings."""
    text = settings.master_key
    if text is None and (path := settings.home / KEY_FILE).exists():
        text = path.read_text()
    if text is None:
        raise BadSettings(f"MASTER_KEY is not set: it takes 32 random bytes in base64. {_HOW_TO}")
    return Vault([_key(part) for part in text.strip().split(",")])


def make_key_file(settings: Settings) -> None:
    """Where neither MASTER_KEY nor the file is there, make the file, for its owner's eyes only."""
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
        os.link(partial, path)  # unless another command was faster
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def is_sealed(conn: Connection) -> bool:
    """Whether the database has met a master key."""
    return bool(conn.execute("SELECT 1 FROM access.secrets WHERE name = %s", [_CHECK]).fetchone())


def verify_vault(conn: Connection, vault: Vault) -> None:
    """Raise BadSettings unless this is the key the database's secrets are sealed under.

    The first key a database meets is the right one.
    """
    conn.execute(
        "INSERT INTO access.secrets (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
        [_CHECK, vault.seal(_CHECK.encode(), purpose=_CHECK)],
    )
    row = conn.execute("SELECT value FROM access.secrets WHERE name = %s", [_CHECK]).fetchone()
    try:
        vault.open(bytes(row[0]) if row else b"", purpose=_CHECK)
    except CannotOpen:
        raise BadSettings(
            "MASTER_KEY is not the key this database was sealed with: its secrets cannot be read. Give the"
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
