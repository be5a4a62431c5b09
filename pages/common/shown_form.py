"""A form as a page shows it: what its fields hold, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import NoneType
from typing import Any, get_args

import msgspec

from api.http.forms import Form
from domain.errors import Details
from infrastructure.ids import new_id

Values = dict[str, str | list[str]]  # by field; a list where any number of values may be chosen


class ShownForm:
    """One form of a page, with the values of all its fields.

    Each form of a page is an object of its own. A template that asks it for a field it does not have fails
    with KeyError, so no form can show what was sent in another.
    """

    def __init__(
        self,
        values: Values | None = None,
        *,
        errors: Details | None = None,
        version: int | None = None,
        command_id: str = "",
    ) -> None:
        self._values = values or {}
        self.version = version
        self.command_id = command_id or new_id()
        self.errors: Details = {}
        for name, messages in (errors or {}).items():
            place = name if name in self._values else ""  # above the fields, where it concerns none of them
            self.errors[place] = [*self.errors.get(place, []), *messages]

    def value(self, name: str) -> str:
        """The field's value; of a list each on a line of its own."""
        value = self._values[name]
        return value if isinstance(value, str) else "\n".join(value)

    def chosen(self, name: str) -> list[str]:
        """Every value of a field that takes any number of them."""
        value = self._values[name]
        return [value] if isinstance(value, str) else value

    def options(self, name: str, offered: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The (value, label) pairs to choose from. What the field holds is always among them: of a value
        that is not offered a browser would send another in its place, or none."""
        pairs = list(offered)
        known = {value for value, _ in pairs}
        return pairs + [(value, value) for value in self.chosen(name) if value and value not in known]


def sent_values(fields: Values, sent: Form) -> Values:
    """The fields with the values that were sent; a field that was not sent keeps the value given here."""
    return {
        name: value
        if not sent.has(name)
        else sent.lines(name)
        if isinstance(value, list)
        else sent.value(name)
        for name, value in fields.items()
    }


def first_values(kind: type[msgspec.Struct], *, omitted: Collection[str] = ()) -> Values:
    """The values with which a form for the fields of `kind` is shown first: their defaults, or empty."""
    return {
        field.encode_name: field.default if isinstance(field.default, str) else ""
        for field in msgspec.structs.fields(kind)
        if field.name not in omitted
    }


def or_none(values: Values, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The values for the fields of `kind`; a text left empty is None where the field may be None."""
    may_be_none = {field.name for field in msgspec.structs.fields(kind) if NoneType in get_args(field.type)}
    return {name: value or (None if name in may_be_none else value) for name, value in values.items()}
