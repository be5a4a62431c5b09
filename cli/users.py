"""`ticketing user`: register and erase people."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.database import open_database, operator_context
from cli.output import note, result
from commands.erasure import EraseUser, erase_user
from commands.users import RegisterUser, register_user
from domain.access import Role
from infrastructure.ids import new_id
from infrastructure.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Register and erase people.")


@app.command("create")
def create_user(
    name: Annotated[str, typer.Option(parser=options.name, metavar="NAME", help="The person's full name.")],
    email: Annotated[str, typer.Option(parser=options.email, metavar="ADDRESS", help="The e-mail address.")],
    role: Annotated[Role, typer.Option(help="What the person may do.")],
    user_id: Annotated[
        str | None,
        typer.Option("--id", parser=options.identifier, metavar="ID", help="A fixed id. Default: a new one."),
    ] = None,
    phone: Annotated[
        str | None, typer.Option(parser=options.phone, metavar="NUMBER", help="The telephone number.")
    ] = None,
    property_ids: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            parser=options.identifier,
            metavar="ID",
            help="A property the person belongs to. May be given several times.",
        ),
    ] = None,
) -> None:
    """Register a person and print the id."""
    command = RegisterUser(
        user_id=user_id or new_id(),
        name=name,
        email=email,
        phone=phone,
        role=role,
        property_ids=tuple(property_ids or ()),
    )
    with open_database(load_settings()) as database:
        user = register_user(database.store, command, operator_context())
        database.wait_until_shown(user.position)
    result(user.id)


@app.command("erase")
def erase(
    user_id: Annotated[
        str, typer.Argument(parser=options.identifier, metavar="ID", help="The id of the person.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase a person for good: name, e-mail address and phone, wherever they are kept.

    What they did and were assigned stays under their id. It cannot be undone.
    """
    if not yes:
        typer.confirm(f"Erase {user_id} for good?", abort=True, err=True)
    with open_database(load_settings()) as database:
        user = erase_user(database.store, EraseUser(user_id=user_id), operator_context())
        database.wait_until_shown(user.position)
    note(f"{user_id} is erased." if user.position else f"{user_id} was erased already.")
