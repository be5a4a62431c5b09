"""Options that several commands share, and parsers of values with the trimming and limits of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import typer

from commands.api_keys import MAX_RATE_LIMIT
from domain import text
from domain.access import SCOPES
from domain.oauth_client import GRANT_TYPES

UNLIMITED = 0
MAX_POSITION = 2**62
_VISIBLE_TEXT = "1 to 255 characters, of which one can be seen"


def new_id_option() -> Any:
    """The option --id of commands that create something."""
    return typer.Option("--id", parser=parse_id, metavar="ID", help="A fixed id. Default: a new one.")


def property_option(description: str) -> Any:
    """The option --property, which may be given several times."""
    return typer.Option(
        "--property",
        parser=parse_id,
        metavar="ID",
        help=f"{description} May be given several times.",
    )


def id_argument(description: str) -> Any:
    """The argument ID."""
    return typer.Argument(parser=parse_id, metavar="ID", help=description)


def rate_limit_option(description: str) -> Any:
    """The option --rate-limit. Its value is UNLIMITED for no limit."""
    return typer.Option(parser=parse_rate_limit, metavar="N|unlimited", help=description)


def parse_id(value: str) -> str:
    """Parse an id."""
    return _check(value, text.Id, "An id is 1 to 64 letters, digits, _ or -.")


def parse_name(value: str) -> str:
    return _check(value, text.Name, f"A name has {_VISIBLE_TEXT}.")


def parse_email(value: str) -> str:
    return _check(value, text.Email, f"{value!r} is not an e-mail address.")


def parse_phone(value: str) -> str:
    return _check(value, text.Phone, "A telephone number has 3 to 32 digits, spaces and + ( ) . x / # * -.")


def parse_address_line(value: str) -> str:
    return _check(value, text.AddressLine, f"This part of the address has {_VISIBLE_TEXT}.")


def parse_scopes(value: str) -> str:
    """Parse scopes; return them separated by single spaces."""
    names = value.split()
    if not names:
        raise typer.BadParameter("Name at least one scope, or omit the option for all scopes.")
    if unknown := [name for name in names if name not in SCOPES]:
        raise typer.BadParameter(f"Unknown: {', '.join(unknown)}. The scopes are {', '.join(SCOPES)}.")
    return " ".join(names)


def parse_grant_type(value: str) -> str:
    """Parse an OAuth 2.0 grant type."""
    if value not in GRANT_TYPES:
        raise typer.BadParameter(f"Use one of {', '.join(GRANT_TYPES)}.")
    return value


def parse_rate_limit(value: str | int) -> int:
    """Parse a number of requests an hour; UNLIMITED for the word `unlimited`."""
    number = str(value)
    if number == "unlimited":
        return UNLIMITED
    if not (number.isascii() and number.isdecimal()) or not 1 <= int(number[:12]) <= MAX_RATE_LIMIT:
        raise typer.BadParameter(f"Use a whole number from 1 to {MAX_RATE_LIMIT}, or unlimited.")
    return int(number)


def parse_moment(value: str) -> datetime:
    """Parse a date (midnight UTC) or an RFC 3339 time (UTC if it has no offset)."""
    try:
        parsed = datetime.fromisoformat(value.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "Use a date such as 2030-01-31, or a time such as 2030-01-31T12:00:00Z."
        ) from None


def parse_position_or_moment(value: str | int) -> int | datetime:
    """Parse a position of the log, or a moment as `parse_moment` does."""
    text = str(value).strip()
    if text.isascii() and text.isdecimal():
        if not 1 <= int(text[:20]) <= MAX_POSITION:
            raise typer.BadParameter(f"A position is a whole number from 1 to {MAX_POSITION}.")
        return int(text)
    try:
        return parse_moment(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            "Use a position such as 1000, a date such as 2030-01-31, or a time such as 2030-01-31T12:00:00Z."
        ) from None


def _check(value: str, kind: Any, refusal: str) -> str:
    trimmed = value.strip()
    try:
        trimmed.encode()  # fails on surrogates, which Python makes of bytes that are not UTF-8
        msgspec.convert(trimmed, kind)
    except (UnicodeEncodeError, msgspec.ValidationError):
        raise typer.BadParameter(refusal) from None
    return trimmed
