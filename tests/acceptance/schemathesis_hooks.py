"""Hooks for Schemathesis (schemathesis.toml): facts about valid data that the schema cannot express."""

from __future__ import annotations

from typing import Any

import schemathesis

# Whether these fields are valid depends on stored data or on earlier requests.
KNOWN_TO_THE_SERVER_ONLY = {
    "property_id",
    "property_ids",
    "unit_id",
    "requester_id",
    "assigned_to",
    "cursor",
    "page",  # cannot be combined with a cursor
    "version",  # cannot be combined with as_of
    "from",  # a position from 1 on, or a time that exists
    "to",  # must be later than `from`
    "after",  # a position that the log has reached
    "created_before",  # must be later than created_after
    "updated_before",
    "url",  # must be an address that webhooks may be sent to
    "headers",  # the names must be those of headers, and the values printable
    "as_of",  # must not be in the future, see below
}

# Fields that a schema can check except for this reason.
OTHER_REASONS = {
    "name": "has a unit with this name already",
    "title": "The title field is required",  # of PUT, if no ticket has the external id
    "external_ids": "must be the one in the address",
    "external_id": "does not have the right form",  # a comma before a source separates two ids
    "q": "must contain a letter or a digit",  # of any script
}

LONG = 10_000


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Write each pattern of a long text as two equal alternatives.

    Otherwise Schemathesis merges the maximum length into the pattern, as `{0,65535}`, and compiling that
    takes half a second and 100 MB. It does not change patterns that have alternatives.
    """
    _keep_patterns(raw_schema)
    _remove_fields(raw_schema)


def _remove_fields(schema: dict[str, Any]) -> None:
    """Remove the parameter `fields`: answers with it lack fields that the schema requires. It could not
    say that without making all fields optional in generated clients."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            operation["parameters"] = [one for one in parameters if one.get("name") != "fields"]


def _keep_patterns(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("maxLength", 0) > LONG and "pattern" in part:
            part["pattern"] = "{pattern}|{pattern}".format(**part)
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _keep_patterns(inner)


@schemathesis.check
def valid_data_is_refused_only_for_what_a_schema_cannot_say(ctx: Any, response: Any, case: Any) -> None:
    """Fail unless a 422 for data that matches the schema names only fields that a schema cannot check."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    error = response.json()["error"]
    if error["code"] == "idempotency_key_reused":
        return
    unexpected = error["details"].keys() - KNOWN_TO_THE_SERVER_ONLY
    if "as_of" in error["details"] and "future" not in error["details"]["as_of"][0]:
        unexpected.add("as_of")
    for field, reason in OTHER_REASONS.items():
        if reason in error["details"].get(field, [""])[0]:
            unexpected.discard(field)
    assert error["details"], f"valid data was refused without a reason: {error}"
    assert not unexpected, f"valid data was refused: {error}"
