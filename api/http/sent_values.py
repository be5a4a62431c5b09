"""Values that a client sent in a request body or a form, for a command to validate (commands/values.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from api.http.problems import find_problems
from commands.values import Problems
from domain.errors import Details, Invalid

T = TypeVar("T", bound=msgspec.Struct)


class SentValues(Generic[T]):
    """The values of a request body or a form, for a command to validate (commands/values.py).

    `details` contains the problems that were found while a form was read into `given`.
    """

    fields: Mapping[str, Any]

    def __init__(self, given: Mapping[str, Any], kind: type[T], details: Details | None = None) -> None:
        self._kind = kind
        self._details = details or {}
        self._is_text = True
        try:
            self.fields = _trim(given)
        except UnicodeError:  # `read` raises Invalid
            self.fields, self._is_text = given, False

    def read(self, problems: Problems | None = None) -> T:
        """The values as a T. Raises Invalid, which names every bad field at once."""
        values, details = self._convert()
        valid = self._valid_fields(details) if details else self.fields
        more = problems(valid) if problems is not None else {}
        if values is None or details or more:
            raise Invalid(details | {name: more[name] for name in more if name not in details})
        return values

    def _convert(self) -> tuple[T | None, Details]:
        """The fields as a T, or None if that is impossible, and the problems of single fields."""
        try:
            values = msgspec.convert(self.fields, self._kind)
        except (msgspec.ValidationError, UnicodeError):
            values = None
        if values is not None and self._is_text:
            return values, self._details
        return None, find_problems(self.fields, self._kind, noun="field") | self._details

    def _valid_fields(self, details: Details) -> dict[str, Any]:
        """The fields of a T without a problem, trimmed."""
        wrong = {name.partition(".")[0] for name in details}
        known = {field.encode_name for field in msgspec.structs.fields(self._kind)}
        return {name: _trim(value) for name, value in self.fields.items() if name in known - wrong}


def _trim(value: Any) -> Any:
    """The value with every string trimmed. Raises UnicodeError for text that cannot be stored."""
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # raises for a lone surrogate
        if "\0" in value:
            raise UnicodeError
        return value.strip()
    if isinstance(value, dict):
        return {name: _trim(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_trim(item) for item in value]
    return value
