"""The published schemas as files: one a type and version, and the AsyncAPI document.

They are made from the structs by `python -m event_stream.schemas`, and checked in so that a change of what
consumers are promised is seen in review.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from event_stream.asyncapi import describe_stream
from event_stream.compatibility import Schema, incompatibilities
from event_stream.event_types import event_types, schema_of, versioned
from infrastructure.settings import load_settings

FOLDER = Path(__file__).parent
ASYNCAPI = "asyncapi.json"


def generated() -> dict[str, bytes]:
    """Every file by its name, as it has to be for the structs as they are."""
    files = {f"{versioned(name)}.json": _pretty(schema_of(kind)) for name, kind in event_types().items()}
    return {**files, ASYNCAPI: _pretty(describe_stream(load_settings({})))}


def checked_in(folder: Path = FOLDER) -> dict[str, Schema]:
    """The schema files of a folder, by their names without `.json`."""
    return {
        path.stem: msgspec.json.decode(path.read_bytes())
        for path in sorted(folder.glob("*.json"))
        if path.name != ASYNCAPI
    }


def breaking_changes(promised: dict[str, Schema]) -> list[str]:
    """Where the structs break what `promised` schemas say, in words."""
    now = {versioned(name): schema_of(kind) for name, kind in event_types().items()}
    problems = [f"{name}: there is no such event any more" for name in promised if name not in now]
    for name in promised.keys() & now.keys():
        problems += [f"{name}: {problem}" for problem in incompatibilities(promised[name], now[name])]
    return sorted(problems)


def _pretty(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
