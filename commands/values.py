"""The values of a command before they are validated.

A command validates them only after its guards, so that validation errors reveal nothing to a caller who may
not see or change the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from msgspec import UNSET, Struct

from domain.errors import Details, Invalid

T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound=Struct)

Problems = Callable[[Mapping[str, Any]], Details]  # maps valid fields, by name, to further problems


class Values(Protocol[T_co]):
    """Values for the fields of a T; those of bodies and forms are in api/http/sent_values.py."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The given fields by name, for guards that depend on them.

        They are not validated: a value may have any type. Strings are trimmed.
        """

    def read(self, problems: Problems | None = None) -> T_co:
        """The values as a T. Raises Invalid, which names every bad field.

        `problems` is called once, with the given fields that are valid by themselves, and returns further
        problems. An array among them is a list or a tuple.
        """


def given_values(values: Struct) -> dict[str, Any]:
    """The fields by name, without those that are UNSET."""
    fields = {name: getattr(values, name) for name in values.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not UNSET}


class ValidValues(Generic[S]):
    """Values that are a valid S already, for the command line, other internal callers and tests."""

    def __init__(self, values: S) -> None:
        self._values = values

    @property
    def fields(self) -> Mapping[str, Any]:
        return given_values(self._values)

    def read(self, problems: Problems | None = None) -> S:
        if problems is not None and (details := problems(self.fields)):
            raise Invalid(details)
        return self._values
