"""`ticketing oauth-client`: register, list, and revoke the applications that use OAuth 2.0."""

from __future__ import annotations

from typing import Annotated

import typer

from api.oauth.clients import ListedClient
from api.oauth.clients import list_clients as select_clients
from cli import options
from cli.database import open_database, operator_context
from cli.output import format_time, note, print_result, print_table
from commands.oauth_clients import (
    DEFAULT_GRANT_TYPES,
    RegisterClient,
    RegisteredClient,
    register_client,
    revoke_client,
    rotate_client_secret,
)
from domain.access import Role
from domain.oauth_client import GRANT_TYPES, ClientKind
from infrastructure.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Register, list and revoke applications that use OAuth 2.0.")

ClientId = Annotated[
    str,
    options.id_argument("The id that `ticketing oauth-client list` shows."),
]

Scopes = Annotated[
    str,
    typer.Option(
        parser=options.parse_scopes,
        metavar="'SCOPE ...'",
        help="The scopes it may request, separated by spaces, such as 'tickets:read users:read'.",
    ),
]
Grants = Annotated[
    list[str] | None,
    typer.Option(
        "--grant",
        parser=options.parse_grant_type,
        metavar="|".join(GRANT_TYPES),
        help="authorization_code and refresh_token, the default, act for people; client_credentials acts as"
        " the application itself. May be given several times.",
    ),
]


@app.command("create")
def create_client(
    name: Annotated[
        str,
        typer.Option(
            parser=options.parse_name,
            metavar="NAME",
            help="The name that people see when they are asked for consent.",
        ),
    ],
    role: Annotated[Role, typer.Option(help="The upper limit of its role, for every person it acts for.")],
    scopes: Scopes,
    redirect_uris: Annotated[
        list[str] | None,
        typer.Option(
            "--redirect-uri",
            metavar="URI",
            help="The exact address to redirect people to; on loopback any port matches. May be given"
            " several times.",
        ),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            metavar="ORIGIN",
            help="The origin of a web page that uses the API in a browser, such as https://board.example.com."
            " May be given several times.",
        ),
    ] = None,
    kind: Annotated[
        ClientKind,
        typer.Option(
            help="public: an app that cannot keep a secret, such as one on a phone or in a browser."
        ),
    ] = "confidential",
    grants: Grants = None,
    require_pkce: Annotated[
        bool, typer.Option("--require-pkce", help="Require PKCE from a confidential client too.")
    ] = False,
    property_ids: Annotated[
        list[str] | None,
        options.property_option("Restrict the application to this property."),
    ] = None,
    rate_limit: Annotated[
        int,
        options.rate_limit_option("Requests an hour for each person."),
    ] = 1_000,
) -> None:
    """Register an application and print its id and its secret. The secret is shown only once."""
    command = RegisterClient(
        name=name,
        client_kind=kind,
        scopes=tuple(scopes.split()),
        role=role,
        redirect_uris=tuple(redirect_uris or ()),
        grant_types=tuple(kind for kind in GRANT_TYPES if kind in (grants or DEFAULT_GRANT_TYPES)),
        requires_pkce=require_pkce,
        property_ids=tuple(property_ids or ()),
        rate_limit=None if rate_limit == options.UNLIMITED else rate_limit,
        origins=tuple(origins or ()),
    )
    with open_database(load_settings()) as database:
        registered = register_client(database.store, command, operator_context())
    _print(registered)


@app.command("list")
def list_clients() -> None:
    """List applications with their rights and last use. Secrets are not shown."""
    with open_database(load_settings()) as database:
        clients = select_clients(database.pool)
    columns = ("ID", "NAME", "KIND", "GRANTS", "SCOPES", "ROLE", "PROPERTIES", "REDIRECT URIS", "ORIGINS")
    more = ("PER HOUR", "PEOPLE", "CREATED", "REVOKED", "LAST USED")
    print_table((*columns, *more), [_cells(client) for client in clients])


@app.command("rotate-secret")
def rotate_secret(client_id: ClientId) -> None:
    """Replace the secret of an application and print the new one. The old one becomes invalid."""
    with open_database(load_settings()) as database:
        registered = rotate_client_secret(database.store, client_id, operator_context())
    _print(registered)


@app.command("revoke")
def revoke(client_id: ClientId) -> None:
    """Revoke an application permanently: it and all its tokens are refused from now on."""
    with open_database(load_settings()) as database:
        client = revoke_client(database.store, client_id, operator_context())
    note(f"Client {client_id} is revoked." if client.position else f"Client {client_id} was revoked already.")


def _print(registered: RegisteredClient) -> None:
    print_result(f"client_id={registered.client.id}")
    if registered.secret is not None:
        note("The secret is shown only once; keep it safe.")
        print_result(f"client_secret={registered.secret}")


def _cells(client: ListedClient) -> tuple[object, ...]:
    return (
        client.client_id,
        client.name,
        "public" if client.is_public else f"confidential, ends in {client.hint}",
        " ".join(client.grant_types),
        " ".join(client.scopes),
        client.role,
        " ".join(client.property_ids) or "-",
        " ".join(client.redirect_uris) or "-",
        " ".join(client.origins) or "-",
        client.rate_limit or "unlimited",
        client.grants,
        format_time(client.created_at),
        format_time(client.revoked_at),
        format_time(client.last_used_at),
    )
