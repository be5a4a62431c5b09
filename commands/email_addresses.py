"""Keeps the e-mail addresses of people unique.

An address is claimed in the commit of the event that gives it to a person: the primary key of
`privacy.email_addresses` refuses the second of two simultaneous commands. Addresses are compared without
regard to case and Unicode composition (domain/text.py); dots and `+tag` count.
docs/decisions/0022-people.md gives the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from domain.access import Role
from domain.errors import Conflict
from domain.text import fold_case
from domain.user import User, UserEmailChanged, UserErased, UserRegistered
from infrastructure.keys.keyed_hash import keyed_hash, read_hash_key
from infrastructure.keys.privacy import decrypt_events
from infrastructure.keys.vault import Vault
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.postgres import Connection, Statement, fetch_value, named_queries
from infrastructure.storage.recorder import RowExists, read_log

_sql = named_queries(Path(__file__).parent / "sql" / "email_addresses.sql")

TAKEN = "Another person has this e-mail address."
_BATCH = 1_000
_TOPICS = [str(kind.__struct_config__.tag) for kind in (UserRegistered, UserEmailChanged, UserErased)]


class EmailTaken(Conflict):
    def __init__(self) -> None:
        super().__init__(TAKEN, details={"email": [TAKEN]})


class Double(NamedTuple):
    """A person who has the same address as another; the columns of `doubles`."""

    email: str
    user_id: str
    name: str
    role: Role
    is_active: bool


def hash_address(store: EventStore, email: str) -> bytes:
    """The `address_hmac` of this address in `privacy.email_addresses`."""
    return store.hash_with_key(fold_case(email))


def claim_address(store: EventStore, user: User) -> list[Statement]:
    """The statement that gives a new person their address."""
    return [(_sql["claim"], {"address_hmac": hash_address(store, user.email), "user_id": user.id})]


def change_address(store: EventStore, user: User, before: str) -> list[Statement]:
    """The statements that give a person their present address instead of `before`."""
    old, new = hash_address(store, before), hash_address(store, user.email)
    if old == new:
        return []
    left, taken = ({"address_hmac": address_hmac, "user_id": user.id} for address_hmac in (old, new))
    return [(_sql["leave"], left), (_sql["free"], left), (_sql["claim"], taken)]


@contextmanager
def refuse_taken_address() -> Iterator[None]:
    """Raise EmailTaken if the block saves a claim of an address that somebody has."""
    try:
        yield
    except RowExists as error:
        if error.table != "email_addresses":
            raise
        raise EmailTaken from None


def list_doubles(store: EventStore) -> list[Double]:
    """The people who share an address, from the time when addresses did not have to be unique."""
    return [Double(*row) for row in store.select(_sql["doubles"], {})]


def is_filled(conn: Connection) -> bool:
    """Whether the table contains the addresses of the log."""
    return fetch_value(conn, _sql["is_filled"], default=False)


def fill(conn: Connection, vault: Vault) -> None:
    """Fill the table with the addresses of the log, in one transaction. People who share one keep it."""
    with conn.transaction():
        conn.execute(_sql["lock"])
        key = read_hash_key(conn, vault)
        addresses = _addresses_in_log(conn, vault)
        hashes = [keyed_hash(key, fold_case(email)) for email in addresses.values()]
        conn.execute(_sql["fill"], {"hashes": hashes, "user_ids": list(addresses)})
        conn.execute(_sql["mark_filled"])


def _addresses_in_log(conn: Connection, vault: Vault) -> dict[str, str]:
    """The present address of everyone who is not erased, by user id in the order of registration."""
    addresses: dict[str, str] = {}
    position = 0
    while rows := read_log(conn, position, _BATCH, _TOPICS):
        position = rows[-1].position
        for event in decrypt_events(conn, vault, [decode(row.state) for row in rows]):
            if isinstance(event, UserRegistered | UserEmailChanged):
                addresses[event.originator_id] = event.email
            else:
                addresses.pop(event.originator_id, None)
    return addresses
