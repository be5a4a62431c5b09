"""HTML forms: request bodies of the type application/x-www-form-urlencoded."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

import falcon

from api.http.bodies import read_bytes
from api.http.errors import Refused

MAX_FORM_BYTES = 1_048_576  # the longest text fits with 12 bytes for each character, such as %F0%9F%94%A7
MAX_FIELDS = 500
_FORM = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form, each with the values that were sent for it."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def value(self, name: str) -> str:
        """The field's first value as typed, or "" if none was sent."""
        return self._values.get(name, [""])[0]

    def text(self, name: str) -> str:
        """The field's value without surrounding white space."""
        return self.value(name).strip()

    def prose(self, name: str) -> str:
        """The field's value with line feeds as line ends; browsers send a carriage return and a line feed."""
        return self.value(name).replace("\r\n", "\n")

    def has(self, name: str) -> bool:
        """Whether the field was sent. Pages add an empty value to the check boxes of a list, so that a list
        without ticked boxes differs from a form without the list."""
        return name in self._values

    def values(self, name: str) -> list[str]:
        """All values of the field, which may be sent several times."""
        return self._values.get(name, [])

    def lines(self, name: str) -> list[str]:
        """The ticked boxes of a list, or the lines of a text area; without duplicates and empty lines."""
        lines = [line.strip() for value in self.values(name) for line in value.splitlines()]
        return list(dict.fromkeys(line for line in lines if line))

    def with_lines(self, name: str, meanings: Mapping[str, str]) -> Form:
        """A copy of the form. Lines of the field `name` that are keys of `meanings` are replaced by the
        values."""
        if not self.has(name):
            return self
        lines = [meanings.get(line, line) for line in self.lines(name)]
        return Form([*(pair for pair in self.pairs() if pair[0] != name), (name, "\n".join(lines))])

    def pairs(self) -> list[tuple[str, str]]:
        """The names and values of all fields."""
        return [(name, value) for name, values in self._values.items() for value in values]


def read_form(req: falcon.Request, *, max_bytes: int = MAX_FORM_BYTES) -> Form:
    """The form in the request body. Raises Refused with 415, 413 or 400."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise Refused("unsupported_media_type", f"Send the form as {_FORM}.")
    raw = read_bytes(req, max_bytes)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:  # includes bytes that are not ASCII, and percent-encoded bytes that are not UTF-8
        raise Refused("bad_request", "The form is not valid.") from None
    if any("\0" in text for pair in pairs for text in pair):
        raise Refused("bad_request", "The form contains a NUL character.")
    return Form(pairs)
