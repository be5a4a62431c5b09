"""`ticketing user`: register people, give them access, take it away, erase them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.database import Database, open_database, operator_context
from cli.output import format_time, note, print_result, print_table
from cli.passwords import read_password
from commands.email_addresses import list_doubles
from commands.erasure import erase_user
from commands.one_time_links import issue_link, link_url
from commands.passwords import change_password, require_good_password
from commands.users import NewUser, UserChanges, change_user, register_user
from commands.values import ValidValues
from domain.access import Role
from domain.errors import Invalid, NotFound
from infrastructure.settings import load_settings
from notary.erasures import erased_people
from notary.places import StatementFile
from notary.statements import BadStatement

app = typer.Typer(no_args_is_help=True, help="Register people, give them access, take it away, erase them.")


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
        erased = people_to_erase_again(database, checkpoints)
        if not yes:
            typer.confirm(f"Erase {len(erased)} people named in {checkpoints}?", abort=True, err=True)
        erase_people_again(database, erased)


def people_to_erase_again(database: Database, checkpoints: Path) -> list[str]:
    """The ids of the erased people according to a file of signed checkpoints. Raises Invalid."""
    with database.pool.connection() as conn:
        try:
            return erased_people(conn, StatementFile(checkpoints).lines())
        except BadStatement as error:
            raise Invalid({"checkpoints": [f"{checkpoints} is not valid: {error}."]}) from None


def erase_people_again(database: Database, user_ids: Sequence[str]) -> None:
    """Erase the people who are not erased already, and write a note for each."""
    for user_id in user_ids:
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


@app.command("link")
def make_link(user_id: Annotated[str, options.id_argument("The user's id.")]) -> None:
    """Print a one-time link with which a person sets a password.

    It is valid for 24 hours and replaces an earlier one. It begins with BASE_URL, which must be the address
    at which the person reaches this installation.
    """
    settings = load_settings()
    with open_database(settings) as database:
        issued = issue_link(database.store, user_id, operator_context())
        database.wait_until_shown(issued.user.position)
    print_result(link_url(settings.base_url, issued.secret))
    note(f"The link for {issued.user.name} is valid until {format_time(issued.expires_at)}.")


@app.command("deactivate")
def deactivate(user_id: Annotated[str, options.id_argument("The user's id.")]) -> None:
    """Deactivate a person who leaves: no sign-in, no keys, no new assignments. Their name stays."""
    _set_active(user_id, False)


@app.command("reactivate")
def reactivate(user_id: Annotated[str, options.id_argument("The user's id.")]) -> None:
    """Reactivate a deactivated person. Their password, keys and tokens are valid again."""
    _set_active(user_id, True)


def _set_active(user_id: str, active: bool) -> None:
    with open_database(load_settings()) as database:
        changes = ValidValues(UserChanges(active=active))
        user = change_user(database.store, user_id, changes, operator_context())
        database.wait_until_shown(user.position)
    note(f"{user.name} is {'active' if user.is_active else 'deactivated'}.")


@app.command("doubles")
def print_doubles() -> None:
    """List the people who share an e-mail address, from the time when addresses did not have to be unique.

    They can sign in with their ids. Give each a separate address in the panel or with PATCH /v1/users/{id}.
    """
    with open_database(load_settings()) as database:
        database.wait_until_shown(database.store.recorder.max_notification_id() or 0)
        doubles = list_doubles(database.store)
    if not doubles:
        note("No two people have the same e-mail address.")
        return
    rows = [(one.email, one.user_id, one.name, one.role, "yes" if one.is_active else "no") for one in doubles]
    print_table(("ADDRESS", "ID", "NAME", "ROLE", "ACTIVE"), rows)
