"""How values are written on pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from markupsafe import Markup, escape

from projections.views import Reference

_UNITS = ("bytes", "kB", "MB", "GB")


def moment(at: datetime) -> Markup:
    """A time for people, with the exact one in the markup."""
    at = at.astimezone(UTC)
    text = f"{at.day} {at:%b %Y, %H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), text)


def day(at: date) -> str:
    return f"{at.day} {at:%b %Y}"


def number(count: float) -> str:
    return f"{count:,.0f}"


def words(text: str) -> str:
    """A word of the API's as people write it."""
    return text.replace("_", " ").replace("-", " ").capitalize()


def size(count: int) -> str:
    """A number of bytes in the unit that keeps it short."""
    amount = float(count)
    for unit in _UNITS[:-1]:
        if amount < 1_000:
            return f"{amount:.0f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} {_UNITS[-1]}"


def paragraphs(text: str) -> Markup:
    """What somebody typed, with the line breaks they typed; everything else as plain text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Markup("<br>").join(escape(line) for line in lines)


def references(things: Iterable[Reference]) -> list[tuple[str, str]]:
    """Named things as the options of a list to choose from."""
    return [(thing.id, thing.name) for thing in things]


def labelled(values: Iterable[str]) -> list[tuple[str, str]]:
    """Words of the API's as such options."""
    return [(value, words(value)) for value in values]


FILTERS = {
    "moment": moment,
    "day": day,
    "number": number,
    "words": words,
    "size": size,
    "paragraphs": paragraphs,
    "references": references,
    "labelled": labelled,
}
