"""Keyed hashes: a table finds a personal value by its hash, and does not contain the value.

HMAC-SHA256 (RFC 2104). Without the key, nobody can find the value by hashing guesses. The key is stored in
`access.secrets`, encrypted under the master key, and never changes: stored hashes would no longer match.
"""

from __future__ import annotations

import hmac
import secrets

from infrastructure.keys.vault import KEY_BYTES, Vault
from infrastructure.storage.postgres import Connection, fetch_value

_NAME = "keyed-hash"
_SELECT = "SELECT value FROM access.secrets WHERE name = %s"
_INSERT = "INSERT INTO access.secrets (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"


def keyed_hash(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def read_hash_key(conn: Connection, vault: Vault) -> bytes:
    """The key of this installation, which is made at the first use."""
    stored = fetch_value(conn, _SELECT, [_NAME], default=b"")
    if not stored:
        new_key = vault.encrypt(secrets.token_bytes(KEY_BYTES), purpose=_NAME)
        conn.execute(_INSERT, [_NAME, new_key])
        stored = fetch_value(conn, _SELECT, [_NAME], default=b"")
    return vault.decrypt(stored, purpose=_NAME)
