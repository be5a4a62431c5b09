"""Template filters: how pages display values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import msgspec
from markupsafe import Markup, escape

from infrastructure.pictures import MEDIA_TYPES
from projections.views import AttachmentView, Reference

_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))
_LONGEST_AGE = 30 * 86_400  # seconds
_MAX_GROWTH = 10  # brackets inside brackets make lines that are mostly spaces
_UNITS = ("bytes", "kB", "MB", "GB")


def moment(at: datetime) -> Markup:
    """A time to the minute. With script it is in the reader's zone (static/scripts/10-times.js)."""
    at = at.astimezone(UTC)
    return _time(at, "moment", f"{at.day} {at:%b %Y, %H:%M} UTC")


def age(at: datetime, now: datetime | None = None) -> Markup:
    """How long ago a time was, such as `3 h ago`; after a month, its day. With script it stays up to date."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds >= _LONGEST_AGE:
        return _time(at, "age", _day(at.astimezone(UTC)))
    text = next((f"{seconds // unit:.0f} {name} ago" for unit, name in _AGES if seconds >= unit), "just now")
    return _time(at, "age", text)


def day(at: date) -> str:
    """The day of a time, or a day without a time as plain text."""
    return _time(at, "day", _day(at.astimezone(UTC))) if isinstance(at, datetime) else _day(at)


def _day(at: date) -> str:
    return f"{at.day} {at:%b %Y}"


def _time(at: datetime, shown: str, text: str) -> Markup:
    """The element of a time that is shown as a `moment`, `age` or `day`, with the exact time in UTC as its
    title."""
    at = at.astimezone(UTC)
    exact = f"{at.day} {at:%B %Y, %H:%M} UTC"
    element = Markup('<time datetime="{}" title="{}" data-shown="{}">{}</time>')
    return element.format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), exact, shown, text)


def duration(seconds: float) -> str:
    """A duration in the largest unit that fits, such as `3.4 h`."""
    unit, name = next((pair for pair in _AGES if seconds >= pair[0]), (1, "s"))
    return f"{seconds / unit:.0f} {name}" if unit <= 60 else f"{seconds / unit:.1f} {name}"


def number(count: float) -> str:
    return f"{count:,.0f}"


def words(text: str) -> str:
    """A value of the API as a label: `in_progress` becomes `In progress`."""
    return text.replace("_", " ").replace("-", " ").capitalize()


def size(count: int) -> str:
    """A number of bytes in a suitable unit, such as `1 MB`."""
    amount = float(count)
    for unit in _UNITS[:-1]:
        if amount < 1_000:
            return f"{amount:.0f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} {_UNITS[-1]}"


def paragraphs(text: str) -> Markup:
    """A text with its line breaks, and everything else escaped."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Markup("<br>").join(escape(line) for line in lines)


def json_lines(text: str) -> str:
    """The JSON text on indented lines. Another text, or one that would grow too much, stays as it is."""
    try:
        indented = msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return text
    return indented if len(indented) <= _MAX_GROWTH * len(text) else text


def references(items: Iterable[Reference]) -> list[tuple[str, str]]:
    """The (value, label) options for a list of references."""
    return [(item.id, item.name) for item in items]


def labelled(values: Iterable[str]) -> list[tuple[str, str]]:
    """The (value, label) options for values of the API."""
    return [(value, words(value)) for value in values]


def photos(files: Iterable[AttachmentView]) -> list[AttachmentView]:
    """The files that pages show as photos. Their type is what the client declared: a file that is no photo is
    shown as the icon of a file."""
    return [file for file in files if file.content_type in MEDIA_TYPES]


def without_photos(files: Iterable[AttachmentView]) -> list[AttachmentView]:
    """The other files."""
    return [file for file in files if file.content_type not in MEDIA_TYPES]


FILTERS = {
    "moment": moment,
    "day": day,
    "age": age,
    "duration": duration,
    "number": number,
    "words": words,
    "size": size,
    "paragraphs": paragraphs,
    "json_lines": json_lines,
    "references": references,
    "labelled": labelled,
    "photos": photos,
    "without_photos": without_photos,
}
