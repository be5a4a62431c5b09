"""The signing keys of the notary, and the numbered statements that it signs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Connection, fetch_value
from notary.blocks import CHAIN_LOCK, End, read_log_id, sql
from notary.statements import Statement, key_id, line_hash, parse, sign

_PURPOSE = "notary/{}"


class _Signer(NamedTuple):
    id: str
    key: Ed25519PrivateKey


def lock_chain(conn: Connection) -> None:
    """Take the lock of the transaction that chains and signs, and hold it until the transaction ends."""
    conn.execute(sql["lock_chain"], {"key": CHAIN_LOCK})


def sign_checkpoint(conn: Connection, vault: Vault, end: End) -> Statement:
    """Sign a statement with the hash at the end of the chain. The caller must have locked the chain."""
    facts = {"page": end.number, "position": end.position, "chain": end.chain.hex()}
    return _append(conn, {"kind": "checkpoint", **facts}, _load_signer(conn, vault))


def sign_erasure(conn: Connection, vault: Vault, user_id: str, at_position: int) -> Statement:
    """Sign a statement that the event at this position erased a person, for use after a restore."""
    return _append(
        conn,
        {"kind": "erasure", "user_id": user_id, "event_position": at_position},
        _load_signer(conn, vault),
    )


def rotate_key(conn: Connection, vault: Vault) -> str:
    """Replace the key in use with a new one, sign its announcement with the old one, and return its id."""
    with conn.transaction():
        lock_chain(conn)
        old = _load_signer(conn, vault)
        return _add_key(conn, vault, old).id


def last_checkpoint(conn: Connection) -> Statement | None:
    line = fetch_value(conn, sql["last_checkpoint"], default="")
    return parse(line) if line else None


def last_checkpoint_until(conn: Connection, position: int) -> Statement | None:
    """The last checkpoint that covers no event after this position."""
    line = fetch_value(conn, sql["last_checkpoint_until"], {"position": position}, default="")
    return parse(line) if line else None


def require_signing_key(conn: Connection, vault: Vault) -> str | None:
    """The id of the key in use, which can be decrypted; None if there is none yet. Raises CannotDecrypt."""
    row = conn.execute(sql["key_in_use"]).fetchone()
    return _decrypt_signer(vault, *row).id if row else None


def sign_bytes(conn: Connection, vault: Vault, content: Mapping[str, Any]) -> Statement:
    """Sign something that is not a numbered statement, such as the manifest of an export."""
    signer = _load_signer(conn, vault)
    return sign({**content, "signed_by": signer.id}, signer.key)


def _load_signer(conn: Connection, vault: Vault) -> _Signer:
    """The key in use, which is created if there is none."""
    row = conn.execute(sql["key_in_use"]).fetchone()
    if row is None:
        return _add_key(conn, vault, None)
    return _decrypt_signer(vault, *row)


def _decrypt_signer(vault: Vault, signer_id: str, encrypted_key: bytes) -> _Signer:
    raw = vault.decrypt(bytes(encrypted_key), purpose=_PURPOSE.format(signer_id))
    return _Signer(signer_id, Ed25519PrivateKey.from_private_bytes(raw))


def _add_key(conn: Connection, vault: Vault, old: _Signer | None) -> _Signer:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw()
    new, at = _Signer(key_id(public_key), key), datetime.now(UTC)
    if old is not None:
        conn.execute(sql["retire_key"], {"id": old.id, "at": at})
    conn.execute(
        sql["insert_key"],
        {
            "id": new.id,
            "public_key": public_key,
            "sealed_private_key": vault.encrypt(key.private_bytes_raw(), purpose=_PURPOSE.format(new.id)),
            "made_at": at,
        },
    )
    facts = {"kind": "key", "key": new.id, "public_key": base64.b64encode(public_key).decode()}
    _append(conn, facts, old or new)
    return new


def _append(conn: Connection, facts: Mapping[str, Any], signer: _Signer) -> Statement:
    row = conn.execute(sql["last_statement"]).fetchone()
    number, line = row or (0, None)
    statement = sign(
        {
            **facts,
            "number": number + 1,
            "previous": line_hash(line),
            "log": read_log_id(conn),
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "signed_by": signer.id,
        },
        signer.key,
    )
    position = statement.position if statement.kind == "checkpoint" else None
    conn.execute(
        sql["insert_statement"], {"number": statement.number, "position": position, "line": statement.line}
    )
    return statement
