"""Personal fields of events: sealed in the log under a key of the person's own, open in memory.

AES-256-GCM (NIST SP 800-38D). A sealed field is `sealed:v1:` and the base64 of a random nonce of 12 bytes,
the ciphertext and its tag; person, version and field are authenticated along, so that no sealed value can
be put in another's place. The keys are sealed under the master key in `privacy.person_keys`. Where a key is
gone, the person is erased, and the fields read as the placeholders their event class declares.
docs/decisions/0010-erasure.md says why.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from domain.aggregate import DomainEvent
from infrastructure.keys.vault import KEY_BYTES, CannotOpen, Vault, load_vault
from infrastructure.settings import load_settings
from infrastructure.storage.postgres import Connection, Statement, named_queries

PREFIX = "sealed:v1:"
_NONCE_BYTES = 12
_sql = named_queries(Path(__file__).parent / "sql" / "privacy.sql")

E = TypeVar("E", bound=DomainEvent)


class PersonIsErased(Exception):
    """The person's key is destroyed: nothing personal can be stored of them any more."""


class Sealed(NamedTuple):
    """Events as they may be stored, and the statements to commit with them: new keys."""

    events: list[DomainEvent]
    statements: list[Statement]


class _Keys(NamedTuple):
    open: dict[str, bytes]
    erased: set[str]


def has_personal_fields(events: Iterable[DomainEvent]) -> bool:
    return any(event.personal for event in events)


def seal_events(conn: Connection, events: Sequence[DomainEvent]) -> Sealed:
    """Seal the personal fields, each person's under their own key; make the keys that are missing.

    Raises PersonIsErased.
    """
    people = {event.originator_id: event.originator_version for event in reversed(events) if event.personal}
    known = _read_keys(conn, [person for person, version in people.items() if version > 1])
    if known.erased:
        raise PersonIsErased(min(known.erased))
    statements: list[Statement] = []
    keys = dict(known.open)
    for person in people.keys() - keys.keys():
        keys[person] = secrets.token_bytes(KEY_BYTES)
        sealed_key = process_vault().seal(keys[person], purpose=_purpose(person))
        statements.append((_sql["insert_key"], {"person_id": person, "sealed_key": sealed_key}))
    sealed = [_seal(event, keys[event.originator_id]) if event.personal else event for event in events]
    return Sealed(sealed, statements)


def open_events(conn: Connection, events: Sequence[E]) -> Sequence[E]:
    """The events with their personal fields readable, or as placeholders where the person is erased.

    Nothing is remembered from one call to the next, so that an erasure holds everywhere from its commit
    on. Events without personal fields cost nothing. Raises CannotOpen for what was altered.
    """
    people = {event.originator_id for event in events if event.personal}
    if not people:
        return events
    keys = _read_keys(conn, list(people)).open
    return [_open(event, keys.get(event.originator_id)) if event.personal else event for event in events]


@cache
def process_vault() -> Vault:
    """The vault of this process, as its environment gives it; raise BadSettings."""
    return load_vault(load_settings())


def _read_keys(conn: Connection, people: list[str]) -> _Keys:
    """The keys there are. The log has the last word on who is erased, not a table that may have been
    restored from a backup."""
    if not people:
        return _Keys({}, set())
    rows = conn.execute(_sql["select_keys"], {"people": people}).fetchall()
    vault = process_vault()
    return _Keys(
        {person: vault.open(bytes(sealed), purpose=_purpose(person)) for person, sealed in rows if sealed},
        {person for person, sealed in rows if not sealed},
    )


def _seal(event: DomainEvent, key: bytes) -> DomainEvent:
    cipher = AESGCM(key)
    sealed = {}
    for field in event.personal:
        value = getattr(event, field)
        if value is not None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            ciphertext = cipher.encrypt(nonce, value.encode(), _place(event, field))
            sealed[field] = PREFIX + base64.b64encode(nonce + ciphertext).decode()
    return replace(event, **sealed)


def _open(event: E, key: bytes | None) -> E:
    opened = {}
    for field, placeholder in event.personal.items():
        value = getattr(event, field)
        if isinstance(value, str) and value.startswith(PREFIX):  # events older than sealing are plain
            opened[field] = placeholder if key is None else _open_value(event, field, value, key)
    return replace(event, **opened) if opened else event


def _open_value(event: DomainEvent, field: str, value: str, key: bytes) -> str:
    try:
        raw = base64.b64decode(value.removeprefix(PREFIX), validate=True)
        nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return AESGCM(key).decrypt(nonce, ciphertext, _place(event, field)).decode()
    except (InvalidTag, ValueError):
        raise CannotOpen(f"the field {field} of event {event.event_id} was altered") from None


def _place(event: DomainEvent, field: str) -> bytes:
    return f"{event.originator_id}/{event.originator_version}/{field}".encode()


def _purpose(person_id: str) -> str:
    return f"person/{person_id}"
