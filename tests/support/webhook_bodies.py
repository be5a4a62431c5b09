"""Compares bodies of webhook posts with the JSON Schemas that the API publishes."""

from __future__ import annotations

import json
from functools import cache

import jsonschema

from webhook_dispatcher.payload_schemas import bodies, payload_schema


def problems_of(body: bytes) -> list[str]:
    """The differences between a body and the schema of its event; one is a field that the schema lacks."""
    message = json.loads(body)
    name = f"{message['event']}.v{message.get('payload_version', 1)}"
    if name.endswith(".v2") and "changed" in message["data"]:
        name += ".thin"
    if name not in bodies():
        return [f"{message['event']} has no schema"]
    validator = _validator(name)
    return [
        f"{message['event']} {error.json_path}: {error.message}" for error in validator.iter_errors(message)
    ]


@cache
def _validator(schema_name: str) -> jsonschema.Draft202012Validator:
    schema = payload_schema(schema_name, "https://api.example.com")
    for each in (schema, *schema["$defs"].values()):
        each["additionalProperties"] = False
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
