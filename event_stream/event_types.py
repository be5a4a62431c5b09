"""The JSON Schemas of the event types, generated from the structs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import inspect

from domain.aggregate import DomainEvent
from domain.events import StoredDomainEvent
from event_stream.envelope import VERSION, schema_path

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


@cache
def event_types() -> Mapping[str, type[DomainEvent]]:
    """Every event class by the name of its type, in the order of the names."""
    kinds: tuple[type[DomainEvent], ...] = get_args(StoredDomainEvent)
    return {str(kind.__struct_config__.tag): kind for kind in sorted(kinds, key=_name)}


def versioned(event_type: str) -> str:
    """The name of the schema of an event type, such as `ticket.opened.v1`."""
    return f"{event_type}.v{VERSION}"


def schema_of(kind: type[DomainEvent]) -> Schema:
    """The complete JSON Schema of the stored JSON of one event class."""
    definitions = components([kind], "#/$defs/{name}")
    own = definitions.pop(kind.__name__)
    found = {"$schema": DIALECT, "$id": schema_path(_name(kind)), **own}
    return {**found, "$defs": definitions} if definitions else found


def components(kinds: Iterable[type[DomainEvent]], ref_template: str) -> Schema:
    """The schemas of these events and of the structs in them, by the names of their classes."""
    kinds = list(kinds)
    _, found = msgspec.json.schema_components(kinds, ref_template=ref_template)
    definitions: Schema = msgspec.json.decode(msgspec.json.encode(dict(sorted(found.items()))))
    for struct in _structs(inspect.multi_type_info(kinds)):
        definition = definitions[struct.cls.__name__]
        if not struct.cls.__doc__ or struct.cls.__doc__.startswith(f"{struct.cls.__name__}("):
            definition.pop("description", None)
        if struct.tag is not None:
            definition["properties"][struct.tag_field] = {"const": struct.tag}
        for field in struct.fields:
            _mark_times(field.type, definition["properties"][field.encode_name])
    return definitions


def _structs(infos: Iterable[inspect.Type]) -> Iterator[inspect.StructType]:
    """Yields every struct in these types once."""
    waiting, seen = list(infos), set()
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
    """Add the format date-time to times; msgspec adds it only to types with a time zone."""
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


def _name(kind: type[DomainEvent]) -> str:
    return str(kind.__struct_config__.tag)
