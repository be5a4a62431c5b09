"""The ids that an object has in other systems. Another system is called a source."""

from __future__ import annotations

from collections.abc import Mapping

from domain.errors import Details

SOURCES_PER_OBJECT = 20


def merged(present: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`present` with the changes, sorted by source. None removes the id of a source."""
    ids = {**present, **changes}
    return {source: external_id for source in sorted(ids) if (external_id := ids[source]) is not None}


def external_id_problems(present: Mapping[str, str], given: Mapping[str, object]) -> Details:
    """The reasons why an object with the ids `present` cannot get the given field `external_ids`."""
    changes = given.get("external_ids")
    if not isinstance(changes, Mapping) or len(merged(present, changes)) <= SOURCES_PER_OBJECT:
        return {}
    message = f"An object has external ids of at most {SOURCES_PER_OBJECT} sources. Remove some with null."
    return {"external_ids": [message]}
