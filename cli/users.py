"""`ticketing user`: register people, set their passwords, erase them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.database import Database, open_database, operator_context
from cli.output import note, print_result
from cli.passwords import read_password
from commands.erasure import erase_user
from commands.passwords import change_password, require_good_password
from commands.users import NewUser, register_user
from commands.values import ValidValues
from domain.access import Role
from domain.errors import Invalid, NotFound
from infrastructure.settings import load_settings
from notary.erasures import erased_people
from notary.places import StatementFile
from notary.statements import BadStatement

app = typer.Typer(no_args_is_help=True, help="Register people, set their passwords, erase them.")


@app.command("create")
def create_user(
    name: Annotated[
        str, typer.Option(parser=options.parse_name, metavar="NAME", help="The person's full name.")
    ],
    email: Annotated[
        str, typer.Option(parser=options.parse_email, metavar="ADDRESS", help="The e-mail address.")
    ],
    role: Annotated[Role, typer.Option(help="The role of the person.")],
    user_id: Annotated[
        str | None,
        options.new_id_option(),
    ] = None,
    phone: Annotated[
        str | None, typer.Option(parser=options.parse_phone, metavar="NUMBER", help="The telephone number.")
    ] = None,
    property_ids: Annotated[
        list[str] | None,
        options.property_option("A property the person belongs to."),
    ] = None,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read a password for signing in from standard input."),
    ] = False,
) -> None:
    """Register a person and print their id."""
    password = read_password() if password_stdin else None
    if password is not None:
        require_good_password(password, name, email)
    new = NewUser(name=name, email=email, phone=phone, role=role, property_ids=tuple(property_ids or ()))
    with open_database(load_settings()) as database:
        user = register_user(database.store, ValidValues(new), operator_context(), user_id=user_id)
        if password is not None:
            user = change_password(database.store, user.id, password, operator_context())
        database.wait_until_shown(user.position)
    print_result(user.id)


@app.command("erase")
def erase(
    user_id: Annotated[str, options.id_argument("The id of the person.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase a person permanently: name, e-mail address and phone, in every place where they are stored.

    Their actions and assignments stay under their id. This cannot be undone.
    """
    if not yes:
        typer.confirm(f"Erase {user_id} permanently?", abort=True, err=True)
    with open_database(load_settings()) as database:
        user = erase_user(database.store, user_id, operator_context())
        database.wait_until_shown(user.position)
    note(f"{user_id} is erased." if user.position else f"{user_id} was erased already.")


@app.command("erase-again")
def erase_again(
    checkpoints: Annotated[
        Path,
        typer.Option(
            help="The file of signed checkpoints from before the restore.", exists=True, dir_okay=False
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase people again, after restoring a backup that is older than their erasure.

    The file of signed checkpoints, which is outside the database, names these people. Run this before the API
    serves again. People who are erased already are not changed.
    """
    with open_database(load_settings()) as database:
        with database.pool.connection() as conn:
            try:
                erased = erased_people(conn, StatementFile(checkpoints).lines())
            except BadStatement as error:
                raise Invalid({"checkpoints": [f"{checkpoints} is not valid: {error}."]}) from None
        if not yes:
            typer.confirm(f"Erase {len(erased)} people named in {checkpoints}?", abort=True, err=True)
        for user_id in erased:
            _erase_again(database, user_id)


def _erase_again(database: Database, user_id: str) -> None:
    try:
        user = erase_user(database.store, user_id, operator_context())
    except NotFound:
        note(f"{user_id} is not in this database.")
        return
    database.wait_until_shown(user.position)
    note(f"{user_id} is erased again." if user.position else f"{user_id} is erased.")


@app.command("password")
def set_password(
    user_id: Annotated[str, options.id_argument("The user's id.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input. Required.")
    ] = False,
) -> None:
    """Set the password of a person; all their sessions end."""
    if not password_stdin:
        raise typer.BadParameter(
            "Use --password-stdin: other users of this machine could see a password on the command line."
        )
    password = read_password()
    with open_database(load_settings()) as database:
        user = change_password(database.store, user_id, password, operator_context())
        database.wait_until_shown(user.position)
    note(f"The password of {user.name} is set.")
