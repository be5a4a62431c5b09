"""Keeps external ids unique: of the objects of one kind, at most one has a certain id of a source.

An id is claimed in the commit of the event that gives it to an object: the primary key of
`access.external_ids` refuses the second of two simultaneous commands. A deleted ticket keeps its ids, because
it can be restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from domain.access import Caller
from domain.errors import Conflict
from domain.ticket import Ticket
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries
from infrastructure.storage.recorder import RowExists
from infrastructure.storage.staged_store import StagedStore

Kind = Literal["ticket", "user", "property", "unit"]

TABLE = "external_ids"
RELEASED = "Another object had the same external id until a moment ago. Try again."
_sql = named_queries(Path(__file__).parent / "sql" / "external_ids.sql")


class ExternalIdTaken(Conflict):
    """`details` has a field for each source whose id another object has, such as `external_ids.sap`."""


class ExternalIds:
    """Claims external ids for one object. A `with` block around the command raises ExternalIdTaken if another
    object has one of them."""

    def __init__(self, store: EventStore, caller: Caller, kind: Kind) -> None:
        self._store = store
        self._caller = caller
        self._kind: Kind = kind
        self._claimed: dict[str, str] = {}

    def claim(self, object_id: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Statement]:
        """The statements that give the object the ids `after` instead of `before`.

        They are in the order of the sources, so that two commands do not wait for each other.
        """
        left = {source: before[source] for source in sorted(before) if after.get(source) != before[source]}
        self._claimed = {
            source: after[source] for source in sorted(after) if before.get(source) != after[source]
        }
        if isinstance(self._store, StagedStore) and (holders := self._holders()):
            # `commit` could not tell whose id it is
            raise taken(self._store, self._caller, self._kind, holders, self._claimed)
        return [
            (_sql[name], {"kind": self._kind, "source": source, "external_id": external_id, "id": object_id})
            for name, ids in (("leave", left), ("claim", self._claimed))
            for source, external_id in ids.items()
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RowExists) and error.table == TABLE:
            raise self._taken() from None

    def _taken(self) -> Conflict:
        """The error that names the ids that other objects have."""
        if holders := self._holders():
            return taken(self._store, self._caller, self._kind, holders, self._claimed)
        return Conflict(RELEASED)

    def _holders(self) -> dict[str, str]:
        """The objects that have the claimed ids, by source, also by commands that are staged."""
        parameters = {
            "kind": self._kind,
            "sources": list(self._claimed),
            "external_ids": list(self._claimed.values()),
        }
        holders: dict[str, str] = (
            dict(self._store.select(_sql["holders"], parameters)) if self._claimed else {}
        )
        for statement, given in self._store.staged if isinstance(self._store, StagedStore) else ():
            if statement not in (_sql["leave"], _sql["claim"]) or not isinstance(given, Mapping):
                continue
            source = given["source"]
            if given["kind"] == self._kind and self._claimed.get(source) == given["external_id"]:
                holders.pop(source, None)
                if statement == _sql["claim"]:
                    holders[source] = given["id"]
        return holders


def taken(
    store: EventStore, caller: Caller, kind: Kind, holders: Mapping[str, str], claimed: Mapping[str, str]
) -> ExternalIdTaken:
    """The error for claimed ids that other objects have. Both mappings are by source. `holders` has the
    objects. Names an object only if the caller may see it."""
    details = {
        f"external_ids.{source}": [
            (f"The {kind} {object_id}" if _may_see(store, caller, kind, object_id) else f"Another {kind}")
            + f' has the external id "{claimed[source]}" of {source}.'
        ]
        for source, object_id in holders.items()
    }
    return ExternalIdTaken(next(iter(details.values()))[0], details=details)


def find_by_external_id(store: EventStore, kind: Kind, source: str, external_id: str) -> str | None:
    """The id of the object that has this external id, or None."""
    parameters = {"kind": kind, "sources": [source], "external_ids": [external_id]}
    return next((object_id for _, object_id in store.select(_sql["holders"], parameters)), None)


def unit_key(property_id: str, unit_id: str) -> str:
    """The id under which a unit claims external ids: unit ids are unique only within their property."""
    return f"{property_id}/{unit_id}"


def _may_see(store: EventStore, caller: Caller, kind: Kind, object_id: str) -> bool:
    if kind in ("property", "unit"):
        return caller.reaches(object_id.partition("/")[0])
    if kind == "user":
        user = store.find(User, object_id)
        return user is not None and caller.may_see_user(user.id, user.property_ids)
    ticket = store.find(Ticket, object_id)
    if ticket is None or (ticket.is_deleted and caller.role != "admin"):
        return False
    return caller.may_see_ticket(ticket.property_id, ticket.requester_id)
