"""A form as a page shows it: the values of its fields and their errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from types import NoneType
from typing import Any, get_args

import msgspec
from markupsafe import Markup

from api.http.forms import Form
from domain.errors import Details
from infrastructure.ids import new_id

_FIELD = re.compile(r"\b[Tt]he [\w.-]+ (?:field|parameter)\b")  # how the API names a field in a message

Values = dict[str, str | list[str]]  # by field; a list for fields with several values


class ShownForm:
    """One form of a page, with the values of all its fields.

    A page with several forms has one object for each. Its methods raise KeyError for other fields, so that no
    form can show the values of another. `labels` has the labels of the fields that the page has shown so far.
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
        self.labels: dict[str, str] = {}
        self.mark = Markup("<!-- problems {} -->").format(new_id())  # see pages/common/problems.py
        self.errors: Details = {}
        for name, messages in (errors or {}).items():
            root = name.partition(".")[0]  # of a value inside a field
            field = next((each for each in (name, root) if each in self._values), "")  # "": above the fields
            self.errors[field] = [*self.errors.get(field, []), *messages]

    def labelled(self, name: str, label: str) -> str:
        """The label, after noting it for the messages about the field."""
        self.labels[name] = label
        return label

    def messages(self, name: str) -> list[str]:
        """The errors of the field, with its label where the API has its name."""
        label = self.labels.get(name, "This field")
        return [_FIELD.sub(lambda _: label, message) for message in self.errors.get(name, [])]

    def value(self, name: str) -> str:
        """The field's value; the values of a list are on separate lines."""
        value = self._values[name]
        return value if isinstance(value, str) else "\n".join(value)

    def chosen(self, name: str) -> list[str]:
        """All values of a field with several values."""
        value = self._values[name]
        return [value] if isinstance(value, str) else value

    def options(self, name: str, offered: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The (value, label) pairs to choose from, including the current values. If a current value were
        missing from the options, a browser would send another one or none."""
        pairs = list(offered)
        known = {value for value, _ in pairs}
        return pairs + [(value, value) for value in self.chosen(name) if value and value not in known]


def sent_values(fields: Values, sent: Form) -> Values:
    """The values that were sent for the fields; a field that was not sent keeps its value in `fields`."""
    return {
        name: value
        if not sent.has(name)
        else sent.lines(name)
        if isinstance(value, list)
        else sent.value(name)
        for name, value in fields.items()
    }


def first_values(kind: type[msgspec.Struct], *, omitted: Collection[str] = ()) -> Values:
    """The initial values of a form for the fields of `kind`: their defaults, or empty."""
    return {
        field.encode_name: field.default if isinstance(field.default, str) else ""
        for field in msgspec.structs.fields(kind)
        if field.name not in omitted
    }


def or_none(values: Values, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The values for the fields of `kind`; an empty text is None if the field may be None."""
    may_be_none = {field.name for field in msgspec.structs.fields(kind) if NoneType in get_args(field.type)}
    return {name: value or (None if name in may_be_none else value) for name, value in values.items()}
