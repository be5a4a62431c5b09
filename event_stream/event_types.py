"""The JSON Schemas of the event types, generated from the structs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args

from domain.aggregate import DomainEvent
from domain.events import StoredDomainEvent
from event_stream.envelope import VERSION, schema_path
from infrastructure.json_schemas import schemas_and_components, structs_in

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


def schema_of(kind: type[DomainEvent], base_url: str) -> Schema:
    """The complete JSON Schema of the stored JSON of one event class, as the installation serves it.

    `$id` is the address in `dataschema` of every event.
    """
    definitions = components([kind], "#/$defs/{name}")
    own = definitions.pop(kind.__name__)
    found = {"$schema": DIALECT, "$id": f"{base_url}{schema_path(_name(kind))}", **own}
    return {**found, "$defs": definitions} if definitions else found


def components(kinds: Iterable[type[DomainEvent]], ref_template: str) -> Schema:
    """The schemas of these events and of the structs in them, by the names of their classes."""
    kinds = list(kinds)
    _, definitions = schemas_and_components(kinds, ref_template)
    for struct in structs_in(kinds):
        definition = definitions[struct.cls.__name__]
        if not struct.cls.__doc__ or struct.cls.__doc__.startswith(f"{struct.cls.__name__}("):
            definition.pop("description", None)
        if struct.tag is not None:
            definition["properties"][struct.tag_field] = {"const": struct.tag}
    return definitions


def _name(kind: type[DomainEvent]) -> str:
    return str(kind.__struct_config__.tag)
