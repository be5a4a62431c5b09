"""Checks whether a new schema is compatible with an old one.

Consumers of the old schema must understand new events, and stored events must be valid under the new schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_IGNORED = {"$schema", "$id", "$defs", "$ref", "title", "description", "examples"}
_COMPARED_BELOW = {"properties", "required", "enum", "anyOf", "items"}
_ABSENT = object()


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """The incompatibilities of `new` with consumers of `old` and with stored events.

    Empty when only optional fields or values of an enumeration were added.
    """
    return list(_differences(old, new, old, new, ""))


def _differences(old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    label = path or "the event"
    for keyword in sorted((old.keys() | new.keys()) - _IGNORED - _COMPARED_BELOW):
        if old.get(keyword, _ABSENT) != new.get(keyword, _ABSENT):
            yield f"{label}: {keyword} was {_text_of(old, keyword)} and is {_text_of(new, keyword)}"
    if gone := [word for word in old.get("enum", ()) if word not in new.get("enum", [word])]:
        yield f"{label}: no longer allows {', '.join(map(str, gone))}"
    if ("enum" in old) != ("enum" in new):
        yield f"{label}: is {'an' if 'enum' in new else 'no longer an'} enumeration"
    yield from _field_differences(old, new, old_root, new_root, path)
    for keyword in ("items", "anyOf"):
        if (keyword in old) != (keyword in new):
            yield f"{label}: {keyword} was {_text_of(old, keyword)} and is {_text_of(new, keyword)}"
    if "items" in old and "items" in new:
        yield from _differences(old["items"], new["items"], old_root, new_root, f"{path}[]")
    if "anyOf" in old and "anyOf" in new:
        yield from _branch_differences(old["anyOf"], new["anyOf"], old_root, new_root, path)


def _field_differences(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str
) -> Iterator[str]:
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in old_fields:
        inner = f"{path}.{name}" if path else name
        if name not in new_fields:
            yield f"{inner}: was removed"
        else:
            yield from _differences(old_fields[name], new_fields[name], old_root, new_root, inner)
    for name in sorted(new_required - old_required):
        inner = f"{path}.{name}" if path else name
        yield f"{inner}: is required, and stored events lack it"
    for name in sorted((old_required - new_required) & new_fields.keys()):
        inner = f"{path}.{name}" if path else name
        yield f"{inner}: is no longer required"


def _branch_differences(
    old: list[Schema], new: list[Schema], old_root: Schema, new_root: Schema, path: str
) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{path}: allowed {len(old)} types and allows {len(new)}"
        return
    for one, other in zip(old, new, strict=True):
        yield from _differences(one, other, old_root, new_root, path)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference replaced by the target; keywords beside the reference stay."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return {**_resolve(target, root), **{key: value for key, value in schema.items() if key != "$ref"}}


def _text_of(schema: Schema, keyword: str) -> str:
    return repr(schema[keyword]) if keyword in schema else "absent"
