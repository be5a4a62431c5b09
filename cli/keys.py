"""`ticketing key`: issue, list and revoke API keys."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cli import options
from cli.database import open_database, operator_context
from cli.output import format_time, note, print_result, print_table
from commands.api_keys import IssueKey, issue_key, revoke_key
from domain.access import Role
from infrastructure.settings import load_settings
from infrastructure.storage.postgres import Pool, fetch_value, named_queries

sql = named_queries(Path(__file__).parent / "sql" / "keys.sql")

app = typer.Typer(no_args_is_help=True, help="Issue, list and revoke API keys.")


class _Key(NamedTuple):
    """The columns of list_keys."""

    id: str
    hint: str
    name: str
    role: Role
    user_id: str | None
    property_ids: list[str]
    scopes: list[str]
    rate_limit: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@app.command("create")
def create_key(
    name: Annotated[
        str,
        typer.Option(
            parser=options.parse_name, metavar="NAME", help="The purpose of the key, as lists show it."
        ),
    ],
    role: Annotated[Role, typer.Option(help="The role of the key: the most it may do.")],
    user: Annotated[
        str | None,
        typer.Option(
            parser=options.parse_id,
            metavar="ID",
            help="The user the key acts as. Without it the key is a service key and acts as itself.",
        ),
    ] = None,
    property_ids: Annotated[
        list[str] | None,
        options.property_option("Restrict the key to this property."),
    ] = None,
    scopes: Annotated[
        str | None,
        typer.Option(
            parser=options.parse_scopes,
            metavar="'SCOPE ...'",
            help="What the key may do, separated by spaces, such as 'tickets:read users:read'. Default: all.",
        ),
    ] = None,
    rate_limit: Annotated[int, options.rate_limit_option("Requests an hour.")] = 1_000,
    expires: Annotated[
        datetime | None,
        typer.Option(
            parser=options.parse_moment,
            metavar="DATE",
            help="The key is refused from this time on: 2030-01-31 (midnight UTC) or an RFC 3339 time.",
        ),
    ] = None,
) -> None:
    """Issue an API key and print only the key on standard output.

    The key is shown once: the database has only its hash.
    """
    command = IssueKey(
        name=name,
        role=role,
        user_id=user,
        property_ids=tuple(property_ids or ()),
        scopes=tuple(scopes.split()) if scopes else None,
        rate_limit=None if rate_limit == options.UNLIMITED else rate_limit,
        expires_at=expires,
    )
    with open_database(load_settings()) as database:
        issued = issue_key(database.store, command, operator_context())
    note(f"Key {issued.api_key.id} is shown only once; keep it safe.")
    if user is None and not property_ids:
        note("It has no --user and no --property, so it reaches every property.")
    print_result(issued.key)


@app.command("list")
def list_keys() -> None:
    """List API keys with their ids, rights and last use. The keys themselves are not shown."""
    with open_database(load_settings()) as database, database.pool.connection() as conn:
        keys = [_Key(*row) for row in conn.execute(sql["list_keys"])]
    columns = ("ID", "ENDS IN", "NAME", "ROLE", "USER", "PROPERTIES", "SCOPES", "PER HOUR")
    print_table((*columns, "CREATED", "EXPIRES", "REVOKED", "LAST USED"), [_cells(key) for key in keys])


@app.command("revoke")
def revoke(
    key_id: Annotated[
        str,
        options.id_argument("The id that `ticketing key list` shows."),
    ],
) -> None:
    """Revoke a key permanently: every worker refuses it from now on."""
    with open_database(load_settings()) as database:
        api_key = revoke_key(database.store, key_id, operator_context())
    note(f"Key {key_id} is revoked." if api_key.position else f"Key {key_id} was revoked already.")


def is_working_admin_key(pool: Pool, sha256: bytes) -> bool:
    """Return whether the key with that hash has the role admin and is neither revoked nor expired."""
    with pool.connection() as conn:
        return fetch_value(conn, sql["is_working_admin_key"], {"sha256": sha256}, default=False)


def _cells(key: _Key) -> tuple[object, ...]:
    return (
        key.id,
        key.hint,
        key.name,
        key.role,
        key.user_id,
        " ".join(key.property_ids) or "-",
        " ".join(key.scopes),
        key.rate_limit or "unlimited",
        format_time(key.created_at),
        format_time(key.expires_at),
        format_time(key.revoked_at),
        format_time(key.last_used_at),
    )
