"""`python -m tests.golden` writes a golden event for each event type that has none with its present fields.

Existing files are never changed, because stored events never change.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from domain.aggregate import DomainEvent
from event_stream.event_types import event_types
from infrastructure.storage.event_store import encode

FOLDER = Path(__file__).parent
NOON = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
VALUES = {
    "event_id": "6f1ed002-ab5a-5f62-9a4c-1d6c1f4b4b0e",
    "originator_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "request_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "causation_id": "01890a5d-ac96-774b-bcce-b302099a8059",
    "source_prefix": "203.0.113.0/24",
}


def golden_files(event_type: str) -> list[Path]:
    """The golden events of one type, oldest first."""
    return sorted(FOLDER.glob(f"{event_type}.v1-*.json"), key=lambda path: int(path.stem.rpartition("-")[2]))


def make_example(kind: type[DomainEvent]) -> DomainEvent:
    """Make an event with a value in every field, from the declaration of its type."""
    info: Any = inspect.type_info(kind)
    facts = {field.name: _value(field.name, field.type) for field in info.fields}
    facts |= {name: f"sealed:v1:{name}==" for name in kind.personal}
    return kind(**facts)


def _value(name: str, info: inspect.Type) -> Any:
    match info:
        case inspect.Metadata():
            return _value(name, info.type)
        case inspect.UnionType():
            return _value(name, next(kind for kind in info.types if not isinstance(kind, inspect.NoneType)))
        case inspect.LiteralType():
            return info.values[0]
        case inspect.StructType():
            return info.cls(**{field.name: _value(field.name, field.type) for field in info.fields})
        case inspect.VarTupleType():
            return (_value(name, info.item_type), _value(name, info.item_type))
        case inspect.DictType():
            return {_value("actor", info.key_type): _value("actor_id", info.value_type)}
        case inspect.DateTimeType():
            return NOON
        case inspect.DateType():
            return NOON.date()
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 7
        case inspect.StrType():
            return (
                VALUES.get(name, name) if name.endswith("_id") else VALUES.get(name, f'{name} "é" \\ 漢 🚰')
            )
        case _:
            raise NotImplementedError(f"{name} is {info}: add an example of that type to _value")


def main() -> None:
    for event_type, kind in event_types().items():
        content = encode(make_example(kind))
        files = golden_files(event_type)
        if files and _field_names(files[-1].read_bytes()) == _field_names(content):
            continue
        path = FOLDER / f"{event_type}.v1-{len(files) + 1}.json"
        path.write_bytes(content)
        sys.stdout.write(f"{path.name}\n")


def _field_names(content: bytes) -> list[str]:
    return list(msgspec.json.decode(content))


if __name__ == "__main__":
    main()
