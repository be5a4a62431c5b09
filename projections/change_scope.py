"""Which objects a caller with certain rights follows, as fragments of SQL and their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any, Literal, LiteralString, get_args

import msgspec

from domain.access import EffectiveRights
from infrastructure.storage.postgres import named_queries

Followed = Literal["tickets", "properties", "users"]
FOLLOWED: tuple[Followed, ...] = get_args(Followed)
LEAVING: dict[Followed, str] = {"tickets": "ticket.moved", "users": "user.properties_changed"}
_sql = named_queries(Path(__file__).parent / "sql" / "changes.sql")
_USERS: LiteralString = _sql["user_within_reach"].strip()
_LEFT: LiteralString = _sql["user_left_reach"].strip()


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The objects that are followed: those of the properties `property_ids` (None: of every property), and
    the person `self_id`. With `requester_id` the tickets are those that it requested; `ticket_property_ids`
    limits them to properties."""

    self_id: str
    property_ids: frozenset[str] | None
    requester_id: str | None = None
    ticket_property_ids: frozenset[str] | None = None

    @classmethod
    def of(cls, rights: EffectiveRights, principal_id: str) -> Scope:
        """What a caller with these rights may see."""
        if rights.role == "guest":
            return cls(
                self_id=principal_id,
                property_ids=rights.property_ids,
                requester_id=principal_id,
                ticket_property_ids=rights.key_property_ids,
            )
        return cls(
            self_id=principal_id,
            property_ids=rights.property_ids,
            ticket_property_ids=rights.property_ids,
        )

    def limited_to(self, property_ids: Set[str]) -> Scope:
        """The part of this scope in these properties."""
        limited = frozenset(property_ids)
        return msgspec.structs.replace(self, property_ids=limited, ticket_property_ids=limited)

    def condition(self, followed: Followed) -> LiteralString:
        """The condition for visible rows, and for rows of users that are not visible any more."""
        if followed == "tickets":
            parts: list[LiteralString] = []
            if self.requester_id is not None:
                parts.append("t.requester_id = %(requester)s")
            if self.ticket_property_ids is not None:
                parts.append("t.property_id = ANY(%(reach)s)")
            return " AND ".join(parts) or "true"
        if followed == "properties":
            return "true" if self.property_ids is None else "t.id = ANY(%(reach)s)"
        if self.requester_id is not None:
            return "t.id = %(self)s"
        return "true" if self.property_ids is None else f"({_USERS} OR {_LEFT})"

    def user_is_visible(self, user_id: str, property_ids: Iterable[str]) -> bool:
        if user_id == self.self_id:
            return True
        if self.requester_id is not None:
            return False
        return self.property_ids is None or not self.property_ids.isdisjoint(property_ids)

    def parameters(self, followed: Followed) -> dict[str, Any]:
        reach = self.ticket_property_ids if followed == "tickets" else self.property_ids
        return {
            "self": self.self_id,
            "requester": self.requester_id if followed == "tickets" else None,
            "reach": None if reach is None else list(reach),
        }
