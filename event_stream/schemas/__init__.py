"""The published schemas as files: one for each event type and version, and the AsyncAPI document.

`python -m event_stream.schemas` generates them from the structs. They are in the repository, so that a review
shows every change of the published schemas.
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


def generate_files() -> dict[str, bytes]:
    """The content of every file for the current structs, by file name."""
    settings = load_settings({})
    files = {f"{name}.json": _pretty(schema) for name, schema in _current_schemas(settings.base_url).items()}
    return {**files, ASYNCAPI: _pretty(describe_stream(settings))}


def read_schemas(folder: Path = FOLDER) -> dict[str, Schema]:
    """The schema files of a folder, by their names without `.json`."""
    return {
        path.stem: msgspec.json.decode(path.read_bytes())
        for path in sorted(folder.glob("*.json"))
        if path.name != ASYNCAPI
    }


def breaking_changes(published: dict[str, Schema]) -> list[str]:
    """Descriptions of the differences between the structs and the published schemas that break consumers."""
    now = _current_schemas(load_settings({}).base_url)
    problems = [f"{name}: the event type was removed" for name in published if name not in now]
    for name in published.keys() & now.keys():
        problems += [f"{name}: {problem}" for problem in incompatibilities(published[name], now[name])]
    return sorted(problems)


def _current_schemas(base_url: str) -> dict[str, Schema]:
    return {versioned(name): schema_of(kind, base_url) for name, kind in event_types().items()}


def _pretty(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
