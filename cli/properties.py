"""`ticketing property` and `ticketing unit`: register properties and their units."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.database import open_database, operator_context
from cli.output import print_result
from commands.properties import AddressBody, NewProperty, NewUnit, add_unit, register_property
from commands.values import ValidValues
from infrastructure.ids import new_id
from infrastructure.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Register properties.")
units_app = typer.Typer(no_args_is_help=True, help="Add units to properties.")

NewId = Annotated[
    str | None,
    options.new_id_option(),
]


@app.callback()
@units_app.callback()
def _group() -> None:
    """Do nothing. Without a callback, Typer would run the only command of a group without its name."""


@app.command("create")
def create_property(
    name: Annotated[
        str, typer.Option(parser=options.parse_name, metavar="NAME", help="The name of the property.")
    ],
    street: Annotated[
        str, typer.Option(parser=options.parse_address_line, metavar="STREET", help="Street and number.")
    ],
    city: Annotated[str, typer.Option(parser=options.parse_address_line, metavar="CITY")],
    state: Annotated[
        str, typer.Option(parser=options.parse_address_line, metavar="STATE", help="State or region.")
    ],
    zip_code: Annotated[
        str, typer.Option("--zip", parser=options.parse_address_line, metavar="CODE", help="Postal code.")
    ],
    country: Annotated[str, typer.Option(parser=options.parse_address_line, metavar="COUNTRY")],
    property_id: NewId = None,
) -> None:
    """Register a property and print its id."""
    address = AddressBody(street=street, city=city, state=state, zip=zip_code, country=country)
    values = ValidValues(NewProperty(name=name, address=address))
    with open_database(load_settings()) as database:
        managed = register_property(database.store, values, operator_context(), property_id=property_id)
        database.wait_until_shown(managed.position)
    print_result(managed.id)


@units_app.command("add")
def add(
    property_id: Annotated[
        str,
        typer.Option("--property", parser=options.parse_id, metavar="ID", help="The property of the unit."),
    ],
    name: Annotated[
        str,
        typer.Option(
            parser=options.parse_name, metavar="NAME", help="The name of the unit, such as 'Unit 101'."
        ),
    ],
    unit_id: NewId = None,
) -> None:
    """Add a unit to a property and print the unit's id."""
    unit_id = unit_id or new_id()
    values = ValidValues(NewUnit(name=name))
    with open_database(load_settings()) as database:
        managed = add_unit(database.store, property_id, values, operator_context(), unit_id=unit_id)
        database.wait_until_shown(managed.position)
    print_result(unit_id)
