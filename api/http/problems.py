"""Finds every bad field of a body or query; msgspec stops at the first one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from domain.errors import Details
from domain.text import VISIBLE, is_visible

_A_DATE = "must be a date, such as 2023-01-15"
_A_TIME = "must be a time with its offset, such as 2023-01-15T15:30:00Z"


def find_problems(given: Mapping[str, Any], kind: Any, *, noun: str) -> Details:
    """The dotted names of the bad fields of `given` as a `kind`, with their messages; never empty.

    `noun` is the word for a field in the messages: "field" or "parameter".
    """
    found: Details = {}
    _check_struct(given, inspect.type_info(kind), "", noun, found)
    if not found:
        found["body"] = [f"The {noun}s do not fit together."]
    return found


def required_message(name: str, noun: str) -> str:
    return f"The {name} {noun} is required."


def unknown_message(name: str, noun: str) -> str:
    return f"There is no {noun} {name} here."


def _check_struct(given: Mapping[str, Any], info: Any, prefix: str, noun: str, found: Details) -> None:
    fields = {field.encode_name: field for field in info.fields}
    choices = _choices(info.cls)
    for name, field in fields.items():
        path = prefix + name
        if name in given:
            _check(given[name], field.type, path, noun, found, choices[field.name])
        elif field.required:
            found[path] = [required_message(path, noun)]
    for name in given:
        if name not in fields:
            path = prefix + _printable(name)
            found[path] = [unknown_message(path, noun)]


def _check(
    value: Any, info: Any, path: str, noun: str, found: Details, choices: tuple[str, ...] = ()
) -> None:
    """Add to `found` the problems of `value` as the type `info`.

    `choices` are the words of a Literal in the order of their declaration.
    """
    label = f"The {path} {noun}"
    description = ""
    if isinstance(info, inspect.Metadata):
        description = (info.extra_json_schema or {}).get("description", "")
        info = info.type
    if isinstance(info, inspect.AnyType):
        return
    allowed = list(info.types) if isinstance(info, inspect.UnionType) else [info]
    if value is None:
        if not any(isinstance(member, inspect.NoneType) for member in allowed):
            found[path] = [f"{label} must not be null."]
        return
    allowed = [member for member in allowed if not isinstance(member, inspect.NoneType)]
    if isinstance(value, int) and len(allowed) > 1:
        allowed = [member for member in allowed if isinstance(member, inspect.IntType)] or allowed
    if isinstance(value, datetime):
        allowed = [member for member in allowed if isinstance(member, inspect.DateTimeType)] or allowed
    if len(allowed) > 1:
        found[path] = [f"{label} is not valid."]
        return
    match allowed[0]:
        case inspect.StructType() as struct if isinstance(value, dict):
            _check_struct(value, struct, f"{path}.", noun, found)
        case inspect.Metadata() as inner:
            _check(value, inner, path, noun, found, choices)
        case inspect.VarTupleType() | inspect.ListType() as items if isinstance(value, list):
            _check_items(value, items, path, noun, found, choices)
        case inspect.DictType() as members if isinstance(value, dict):
            _check_members(value, members, path, noun, found)
        case plain:
            if message := _problem(value, plain, description, choices):
                found[path] = [f"{label} {message}."]


def _check_items(
    value: list[Any], info: Any, path: str, noun: str, found: Details, choices: tuple[str, ...]
) -> None:
    """Add the problems of the items: those of objects under their index (tickets.0.title), others under the
    list's name."""
    messages: dict[str, None] = {}
    are_objects = isinstance(_without_metadata(info.item_type), inspect.StructType)
    for index, item in enumerate(value):
        if are_objects:
            _check(item, info.item_type, f"{path}.{index}", noun, found)
        else:
            inner: Details = {}
            _check(item, info.item_type, path, noun, inner, choices)
            messages |= dict.fromkeys(message for each in inner.values() for message in each)
    if info.min_length is not None and len(value) < info.min_length:
        items = "one item" if info.min_length == 1 else f"{info.min_length} items"
        messages[f"The {path} {noun} must have at least {items}."] = None
    if info.max_length is not None and len(value) > info.max_length:
        messages[f"The {path} {noun} may not have more than {info.max_length} items."] = None
    if messages:
        found[path] = list(messages)


def _check_members(
    value: dict[str, Any], info: inspect.DictType, path: str, noun: str, found: Details
) -> None:
    """Add the problems of the names and values of an object without fixed fields, each under its name."""
    for name, item in value.items():
        member = f"{path}.{_printable(name)}"
        if problem := _problem(name, info.key_type, "", ()):
            found[member] = [f"The name {_printable(name)} in the {path} {noun} {problem}."]
        else:
            _check(item, info.value_type, member, noun, found)
    if info.max_length is not None and len(value) > info.max_length:
        found[path] = [f"The {path} {noun} may not have more than {info.max_length} members."]


def _without_metadata(info: Any) -> Any:
    return info.type if isinstance(info, inspect.Metadata) else info


def _problem(value: Any, info: Any, description: str, choices: tuple[str, ...]) -> str | None:
    """The problem, to complete "The title field ..."; None for a valid value."""
    match info:
        case inspect.StrType():
            return _text_problem(value, info, description)
        case inspect.LiteralType():
            if any(value == one and type(value) is type(one) for one in info.values):  # True is not 1
                return None
            return "must be one of: " + ", ".join(map(str, choices))
        case inspect.IntType() | inspect.FloatType():
            return _number_problem(value, info)
        case inspect.BoolType():
            return None if isinstance(value, bool) else "must be true or false"
        case inspect.DateTimeType():
            return None if _is_moment(value) else _A_TIME
        case inspect.DateType():
            return None if _is_date(value) else _A_DATE
        case inspect.StructType() | inspect.DictType():
            return "must be an object"
        case inspect.VarTupleType() | inspect.ListType():
            return "must be a list"
        case _:
            return "is not valid"


def _text_problem(value: Any, info: inspect.StrType, description: str) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    if "\0" in value:
        return "must not contain the NUL character"
    if not _is_unicode(value):
        return "contains half of a surrogate pair, which is not a character"
    value = value.strip()
    if info.min_length and not value:
        return "must not be empty"
    if info.min_length and len(value) < info.min_length:
        return f"must have at least {info.min_length} characters"
    if info.max_length is not None and len(value) > info.max_length:
        return f"may not be longer than {info.max_length:,} characters"
    if info.pattern == VISIBLE:
        return None if is_visible(value) else "must have a character that can be seen"
    if info.pattern and not re.search(info.pattern, value):
        return f"does not have the right form. {description}".rstrip(". ")
    return None


def _number_problem(value: Any, info: Any) -> str | None:
    kinds = (int,) if isinstance(info, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return "must be a whole number" if kinds == (int,) else "must be a number"
    if info.ge is not None and value < info.ge:
        return f"must be at least {info.ge}"
    if info.le is not None and value > info.le:
        return f"may not be greater than {info.le}"
    return None


def _is_moment(value: Any) -> bool:
    """Whether the value is a time with its offset from UTC, or the text of such a time."""
    if isinstance(value, str):
        try:
            value = msgspec.convert(value.strip(), datetime)
        except msgspec.ValidationError:
            return False
    return isinstance(value, datetime) and value.tzinfo is not None


def _is_date(value: Any) -> bool:
    try:
        msgspec.convert(value.strip() if isinstance(value, str) else value, date)
    except msgspec.ValidationError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _choices(kind: Any) -> dict[str, tuple[str, ...]]:
    """The words of each Literal field in the order of their declaration; msgspec sorts them."""
    return {name: _words(hint) for name, hint in get_type_hints(kind).items()}


def _words(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(word for inner in get_args(hint) for word in _words(inner))


def _printable(name: str) -> str:
    """A key that the client sent, shortened and safe to send back."""
    return name[:64].encode(errors="replace").decode().replace("\0", "\\0")
