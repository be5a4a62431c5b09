"""Reads query strings. Falcon's parser drops or joins parameters that must be refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import unquote_to_bytes

import falcon
import msgspec
from msgspec import inspect

from api.http.problems import find_problems, unknown_message
from domain.errors import Details, Invalid

T = TypeVar("T")

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}\Z", re.ASCII)
_OFFSET_AFTER_SPACE = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)", re.ASCII)
_A_TIME = "The {} parameter must be a time with its offset, such as 2023-01-15T15:30:00Z."
_A_POSITION_OR_TIME = _A_TIME.replace("must be", "must be a position of the log, such as 1000, or")


class NoQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a path without parameters."""


def read_query(req: falcon.Request, kind: type[T]) -> T:
    """The query string as a `kind`, a closed struct. Raises Invalid, which names every bad parameter.

    A `tuple[...]` is read from a list separated by commas, or by the `separator` in the Meta of its items, or
    from a parameter that is repeated; every other parameter may be given once. A `datetime` is read from an
    RFC 3339 time. A field that is either an int or a datetime accepts both.
    """
    return parse_query(req.query_string, kind)


def parse_query(query_string: str, kind: type[T]) -> T:
    """The query string as a `kind`; see `read_query`."""
    if not query_string and (defaults := _defaults(cast(Any, kind))) is not None:
        return cast(T, defaults)
    found: Details = {}
    given: dict[str, Any] = {}
    conversions = _conversions(cast(Any, kind))
    for name, text in _decode(query_string, found):
        if name not in conversions:
            found[name] = [unknown_message(name, "parameter")]
        elif name in given and not isinstance(conversions[name], _ItemsOf):
            found[name] = [f"The {name} parameter takes one value, but is given more than once."]
        else:
            _convert(name, text, conversions[name], given, found)
    try:
        query = msgspec.convert(given, kind)
    except msgspec.ValidationError:
        found = {**find_problems(given, kind, noun="parameter"), **found}
    if found:
        raise Invalid(found)
    return query


def convert_query(query: object, kind: type[T], **others: Any) -> T:
    """A `kind` with the values of `others` and, for its other fields, the values of the query."""
    names = [
        name for name in cast(Any, kind).__struct_fields__ if name not in others and hasattr(query, name)
    ]
    return kind(**{name: getattr(query, name) for name in names}, **others)


def without_parameters(kind: type[T], name: str, omitted: Collection[str]) -> type[Any]:
    """A closed struct with the parameters of `kind`, which all have defaults, except these."""
    fields = [
        (field.name, field.type, field.default)
        for field in msgspec.structs.fields(cast(Any, kind))
        if field.name not in omitted
    ]
    return msgspec.defstruct(name, fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


def pairs_of(query_string: str) -> list[tuple[str, str]]:
    """The names and values in order, decoded; invalid UTF-8 is replaced."""
    return [
        (_bytes_of(name).decode(errors="replace"), _bytes_of(text).decode(errors="replace"))
        for name, _, text in (part.partition("=") for part in query_string.split("&") if part)
    ]


@cache
def _defaults(kind: Any) -> Any:
    """The query of a request without parameters, or None if a parameter is required."""
    try:
        return msgspec.convert({}, kind)
    except msgspec.ValidationError:
        return None


def _decode(query_string: str, found: Details) -> list[tuple[str, str]]:
    """Decode like `pairs_of`, but add parameters that are not text to `found` instead of returning them."""
    pairs = []
    for part in query_string.split("&"):
        raw_name, _, raw_text = part.partition("=")
        name = _bytes_of(raw_name).decode(errors="replace").replace("\0", "\\0")[:64]
        try:
            text = _bytes_of(raw_text).decode().strip()
        except UnicodeDecodeError:
            found[name] = [f"The {name} parameter is not UTF-8."]
            continue
        if "\0" in text:
            found[name] = [f"The {name} parameter must not contain the NUL character."]
        elif part:
            pairs.append((name, text))
    return pairs


def _bytes_of(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))


def _convert(
    name: str, text: str, convert: Callable[[str], Any], given: dict[str, Any], found: Details
) -> None:
    try:
        value = convert(text)
    except ValueError as error:
        found[name] = [str(error).format(name)]
    else:
        given[name] = given.get(name, []) + value if isinstance(convert, _ItemsOf) else value


@cache
def _conversions(kind: Any) -> dict[str, Callable[[str], Any]]:
    struct = cast(inspect.StructType, inspect.type_info(kind))
    return {field.encode_name: _conversion(field.type) for field in struct.fields}


def _conversion(info: Any) -> Callable[[str], Any]:
    """The function that converts the text of a parameter to a value that msgspec can validate."""
    if isinstance(info, inspect.Metadata):
        return _conversion(info.type)
    if isinstance(info, inspect.UnionType):
        members = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        return _position_or_time if len(members) > 1 else _conversion(members[0])
    match info:
        case inspect.VarTupleType(item_type=inspect.Metadata(extra={"separator": separator})):
            return _ItemsOf(separator)
        case inspect.VarTupleType():
            return _ItemsOf(",")
        case inspect.IntType():
            return _whole_number
        case inspect.BoolType():
            return _truth
        case inspect.DateTimeType():
            return _time
        case _:
            return str


class _ItemsOf:
    """Converts a text to the items between the separators, which a regular expression matches."""

    def __init__(self, separator: str) -> None:
        self._separator = re.compile(separator)

    def __call__(self, text: str) -> list[str]:
        items = [item.strip() for item in self._separator.split(text)]
        if "" in items:
            raise ValueError("The {} parameter is empty, or has an empty item between its commas.")
        return items


def _whole_number(text: str) -> int:
    if not _WHOLE_NUMBER.match(text):
        raise ValueError("The {} parameter must be a whole number of at most 18 digits.")
    return int(text)


def _position_or_time(text: str) -> int | datetime:
    if _WHOLE_NUMBER.match(text):
        return int(text)
    try:
        return _time(text)
    except ValueError:
        raise ValueError(_A_POSITION_OR_TIME) from None


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("The {} parameter must be true or false.")
    return text == "true"


def _time(text: str) -> datetime:
    """Parse a time. Accepts `+02:00` without escaping, although `+` means a space in a query string."""
    try:
        moment = msgspec.convert(_OFFSET_AFTER_SPACE.sub("+", text), datetime)
        if moment.tzinfo is None:
            raise ValueError(_A_TIME)
        return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValueError(_A_TIME) from None
