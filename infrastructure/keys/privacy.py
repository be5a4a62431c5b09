"""Personal fields of events: encrypted in the log under a key of each person, plain in memory.

AES-256-GCM (NIST SP 800-38D). An encrypted field is `sealed:v1:` and the base64 of a random nonce of 12
bytes, the ciphertext and its tag. The person, version and field are authenticated data, so an encrypted
value cannot be moved to another place. The keys are stored in `privacy.person_keys`, encrypted under the
master key. When a person is erased, their key is deleted, and the fields read as the placeholders that their
event class declares. docs/decisions/0010-erasure.md gives the reasons.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from domain.aggregate import DomainEvent
from infrastructure.keys.vault import KEY_BYTES, CannotDecrypt, Vault
from infrastructure.storage.postgres import Connection, Statement, named_queries

PREFIX = "sealed:v1:"
_NONCE_BYTES = 12
_sql = named_queries(Path(__file__).parent / "sql" / "privacy.sql")

E = TypeVar("E", bound=DomainEvent)


class PersonIsErased(Exception):
    """The person's key is deleted, so personal fields of that person cannot be stored."""


class Encrypted(NamedTuple):
    """Events with encrypted personal fields, and the statements that store new keys in the same commit."""

    events: list[DomainEvent]
    statements: list[Statement]


class _Keys(NamedTuple):
    by_person: dict[str, bytes]
    erased: set[str]


def has_personal_fields(events: Iterable[DomainEvent]) -> bool:
    return any(event.personal for event in events)


def encrypt_events(conn: Connection, vault: Vault, events: Sequence[DomainEvent]) -> Encrypted:
    """Encrypt the personal fields under the key of their person. Makes a key for a new person.

    Raises PersonIsErased.
    """
    people = {event.originator_id: event.originator_version for event in reversed(events) if event.personal}
    known = _read_keys(conn, vault, [person for person, version in people.items() if version > 1])
    if known.erased:
        raise PersonIsErased(min(known.erased))
    statements: list[Statement] = []
    keys = dict(known.by_person)
    for person in people.keys() - keys.keys():
        keys[person] = secrets.token_bytes(KEY_BYTES)
        sealed_key = vault.encrypt(keys[person], purpose=_purpose(person))
        statements.append((_sql["insert_key"], {"person_id": person, "sealed_key": sealed_key}))
    encrypted = [_encrypt(event, keys[event.originator_id]) if event.personal else event for event in events]
    return Encrypted(encrypted, statements)


def decrypt_events(conn: Connection, vault: Vault, events: Sequence[E]) -> Sequence[E]:
    """Decrypt the personal fields; those of an erased person become placeholders.

    Keys are not cached, so an erasure takes effect everywhere with its commit. Events without personal
    fields need no query. Raises CannotDecrypt for a field that was altered.
    """
    people = {event.originator_id for event in events if event.personal}
    if not people:
        return events
    keys = _read_keys(conn, vault, list(people)).by_person
    return [_decrypt(event, keys.get(event.originator_id)) if event.personal else event for event in events]


def _read_keys(conn: Connection, vault: Vault, people: list[str]) -> _Keys:
    """The keys of these people. The log decides who is erased: the table of keys may come from a backup."""
    if not people:
        return _Keys({}, set())
    rows = conn.execute(_sql["select_keys"], {"people": people}).fetchall()
    return _Keys(
        {person: vault.decrypt(bytes(sealed), purpose=_purpose(person)) for person, sealed in rows if sealed},
        {person for person, sealed in rows if not sealed},
    )


def _encrypt(event: DomainEvent, key: bytes) -> DomainEvent:
    cipher = AESGCM(key)
    encrypted = {}
    for field in event.personal:
        value = getattr(event, field)
        if value is not None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            ciphertext = cipher.encrypt(nonce, value.encode(), _authenticated(event, field))
            encrypted[field] = PREFIX + base64.b64encode(nonce + ciphertext).decode()
    return replace(event, **encrypted)


def _decrypt(event: E, key: bytes | None) -> E:
    decrypted = {}
    for field, placeholder in event.personal.items():
        value = getattr(event, field)
        if isinstance(value, str) and value.startswith(PREFIX):  # events from before encryption are plain
            decrypted[field] = placeholder if key is None else _decrypt_value(event, field, value, key)
    return replace(event, **decrypted) if decrypted else event


def _decrypt_value(event: DomainEvent, field: str, value: str, key: bytes) -> str:
    try:
        raw = base64.b64decode(value.removeprefix(PREFIX), validate=True)
        nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return AESGCM(key).decrypt(nonce, ciphertext, _authenticated(event, field)).decode()
    except (InvalidTag, ValueError):
        raise CannotDecrypt(f"the field {field} of event {event.event_id} was altered") from None


def _authenticated(event: DomainEvent, field: str) -> bytes:
    return f"{event.originator_id}/{event.originator_version}/{field}".encode()


def _purpose(person_id: str) -> str:
    return f"person/{person_id}"
