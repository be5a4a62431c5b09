"""The notary's keys, and the statements it signs with them, numbered one after another."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Connection
from notary.pages import TURN_KEY, End, read_log_id, sql
from notary.statements import Statement, key_id, line_hash, parse, signed

_PURPOSE = "notary/{}"


class _Signer(NamedTuple):
    id: str
    key: Ed25519PrivateKey


def take_turn(conn: Connection) -> None:
    """Let only this transaction chain and sign until it ends."""
    conn.execute(sql["take_turn"], {"key": TURN_KEY})


def sign_checkpoint(conn: Connection, vault: Vault, end: End) -> Statement:
    """State the chain's hash at its end. Within a transaction that has the turn."""
    facts = {"page": end.number, "position": end.position, "chain": end.chain.hex()}
    return _state(conn, vault, {"kind": "checkpoint", **facts})


def sign_erasure(conn: Connection, vault: Vault, user_id: str, at_position: int) -> Statement:
    """State that a person was erased by the event there: the part of the log a backup must not undo."""
    return _state(conn, vault, {"kind": "erasure", "user_id": user_id, "event_position": at_position})


def rotate_key(conn: Connection, vault: Vault) -> str:
    """Announce a new key, signed by the one in use, which is retired; return its id."""
    with conn.transaction():
        take_turn(conn)
        old = _signer(conn, vault)
        return _announce(conn, vault, old).id


def last_checkpoint(conn: Connection) -> Statement | None:
    row = conn.execute(sql["last_checkpoint"]).fetchone()
    return parse(row[0]) if row else None


def sign_bytes(conn: Connection, vault: Vault, content: Mapping[str, Any]) -> Statement:
    """Sign what is no statement of the sequence, such as the manifest of an export."""
    signer = _signer(conn, vault)
    return signed({**content, "signed_by": signer.id}, signer.key)


def _state(conn: Connection, vault: Vault, facts: Mapping[str, Any]) -> Statement:
    return _append(conn, facts, _signer(conn, vault))


def _signer(conn: Connection, vault: Vault) -> _Signer:
    row = conn.execute(sql["key_in_use"]).fetchone()
    if row is None:
        return _announce(conn, vault, None)
    raw = vault.decrypt(bytes(row[1]), purpose=_PURPOSE.format(row[0]))
    return _Signer(row[0], Ed25519PrivateKey.from_private_bytes(raw))


def _announce(conn: Connection, vault: Vault, old: _Signer | None) -> _Signer:
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
    statement = signed(
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
