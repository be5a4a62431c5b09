"""Loaded by Schemathesis itself (schemathesis.toml): what it cannot know about valid data from the schema."""

from __future__ import annotations

from typing import Any

import schemathesis

# Whether these are right depends on what there is, or on what was asked before.
KNOWN_TO_THE_SERVER_ONLY = {
    "property_id",
    "property_ids",
    "unit_id",
    "requester_id",
    "assigned_to",
    "cursor",
    "page",  # which cannot be combined with a cursor
    "version",  # which cannot be combined with as_of
    "to",  # which must not lie before from
    "url",  # which has to be an address that posts may go to
    "as_of",  # which must not lie in the future, see below
}

LONG = 10_000


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Keeps Schemathesis from folding great lengths into patterns, as `{0,65535}`: to compile that takes
    half a second and 100 MB each time. It leaves a pattern alone that is a choice, here of twice the same."""
    _keep_patterns(raw_schema)


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
    """A 422 on data that follows the schema names fields whose truth only the server knows."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    error = response.json()["error"]
    if error["code"] == "idempotency_key_reused":
        return
    unexpected = error["details"].keys() - KNOWN_TO_THE_SERVER_ONLY
    if "as_of" in error["details"] and "future" not in error["details"]["as_of"][0]:
        unexpected.add("as_of")
    assert error["details"], f"valid data was refused without a reason: {error}"
    assert not unexpected, f"valid data was refused: {error}"
