"""The values that a command is given, before they are validated.

A command validates them only after its guards: a caller who may not see or change something learns nothing
about it from validation errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from msgspec import UNSET, Struct

from domain.errors import Details, Invalid

T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound=Struct)

Problems = Callable[[Mapping[str, Any]], Details]  # from valid fields by name to what else is wrong with them


class Values(Protocol[T_co]):
    """Values for the fields of a T. api/http/bodies.py has those of a request body or a form."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The given fields by name, of any type: for guards that depend on which fields are given."""

    def read(self, problems: Problems | None = None) -> T_co:
        """The values as a T. Raises Invalid, which names every bad field at once.

        `problems` is called once, with the given fields that are valid by themselves, and returns what else
        is wrong with them. Strings in them are trimmed; an array may be a list or a tuple.
        """


class ValidValues(Generic[S]):
    """Values that are a valid S already: from the command line, other code of ours, and tests."""

    def __init__(self, values: S) -> None:
        self._values = values

    @property
    def fields(self) -> Mapping[str, Any]:
        given = {name: getattr(self._values, name) for name in self._values.__struct_fields__}
        return {name: value for name, value in given.items() if value is not UNSET}

    def read(self, problems: Problems | None = None) -> S:
        if problems is not None and (details := problems(self.fields)):
            raise Invalid(details)
        return self._values
