"""JSON Schemas of structs, by msgspec, with the times that it leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

Schema = dict[str, Any]


def schemas_and_components(kinds: Collection[Any], ref_template: str) -> tuple[list[Schema], Schema]:
    """The schema of each type, and the schemas of the structs in them by the names of their classes.

    msgspec gives the format date-time only to times that must have a zone. Descriptions are docstrings, which
    Python 3.13 and later store without their indentation; it is removed, so that no schema depends on the
    version.
    """
    found, structs = msgspec.json.schema_components(list(kinds), ref_template=ref_template)
    schemas, components = msgspec.json.decode(msgspec.json.encode((found, structs)))
    for struct in structs_in(kinds):
        component = components[struct.cls.__name__]
        if "description" in component:
            component["description"] = cleandoc(component["description"])
        properties = component["properties"]
        for field in struct.fields:
            _mark_times(field.type, properties[field.encode_name])
    return schemas, dict(sorted(components.items()))


def structs_in(kinds: Iterable[Any]) -> Iterator[inspect.StructType]:
    """Yields every struct in these types once."""
    waiting, seen = list(inspect.multi_type_info(kinds)), set()
    while waiting:
        info = waiting.pop()
        if isinstance(info, inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield info
            waiting += [field.type for field in info.fields]
        waiting += _inner(info)


def _inner(info: inspect.Type) -> list[inspect.Type]:
    found = [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    return [inner for inner in found if isinstance(inner, inspect.Type)] + list(
        getattr(info, "types", None) or getattr(info, "item_types", None) or ()
    )


def _mark_times(info: inspect.Type, schema: Schema) -> None:
    if isinstance(info, inspect.Metadata):
        _mark_times(info.type, schema)
    elif isinstance(info, inspect.DateTimeType):
        schema["format"] = "date-time"
    elif isinstance(info, inspect.UnionType) and any(
        isinstance(member, inspect.DateTimeType) for member in info.types
    ):
        for branch in schema.get("anyOf", ()):
            if branch.get("type") == "string":
                branch["format"] = "date-time"
