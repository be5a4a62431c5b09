"""Creates an administrator with a password at the first start of `ticketing up`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cli.database import Database, operator_context
from commands.email_addresses import EmailTaken
from commands.passwords import change_password
from commands.users import NewUser, register_user
from commands.values import ValidValues
from domain.user import User
from infrastructure.ids import new_id
from infrastructure.keys.passwords import verify_password
from infrastructure.storage.postgres import fetch_value, named_queries

sql = named_queries(Path(__file__).parent / "sql" / "first_admin.sql")

ACCOUNT = "admin"


def ensure_admin(database: Database, path: Path) -> tuple[str, str] | None:
    """Return account and password of the first administrator; create one if no admin can sign in.

    Both are stored in a file that only its owner can read. Returns None if an admin can sign in but the file
    has no valid password of an active admin.
    """
    stored = path.read_text().split() if path.exists() else []
    if len(stored) == 2 and verify_password(_hash(database, stored[0]), stored[1]):
        return stored[0], stored[1]
    if _can_an_admin_sign_in(database):
        return None
    account, password = _ensure_account(database), secrets.token_urlsafe(18)
    write_secret(path, f"{account} {password}\n")
    user = change_password(database.store, account, password, operator_context())
    database.wait_until_shown(user.position)
    return account, password


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its creation on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _ensure_account(database: Database) -> str:
    """Return the id of an administrator without a password, from an interrupted start or created now."""
    found = database.store.find(User, ACCOUNT)
    if found is not None and found.role == "admin" and found.is_active:
        return ACCOUNT
    user_id = ACCOUNT if found is None else new_id()
    try:
        return _register(database, user_id, "admin@example.com")
    except EmailTaken:
        return _register(database, user_id, f"admin-{user_id}@example.com")


def _register(database: Database, user_id: str, email: str) -> str:
    new = ValidValues(NewUser(name="Administrator", email=email, role="admin"))
    return register_user(database.store, new, operator_context(), user_id=user_id).id


def _hash(database: Database, user_id: str) -> str | None:
    with database.pool.connection() as conn:
        return fetch_value(conn, sql["find_hash"], {"user_id": user_id}, default=None)


def _can_an_admin_sign_in(database: Database) -> bool:
    with database.pool.connection() as conn:
        return fetch_value(conn, sql["can_an_admin_sign_in"], default=False)
