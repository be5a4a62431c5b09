"""What callers may do with a ticket that they may see."""

from __future__ import annotations

from collections.abc import Mapping

from domain.access import Caller
from domain.errors import Forbidden
from domain.ticket import STATUSES, Status, Ticket

# The statuses that guests may set, by the present one: they close and reopen.
_OF_GUESTS: dict[Status, tuple[Status, ...]] = {
    "open": ("closed",),
    "in_progress": ("closed",),
    "closed": ("open",),
}
OF_STAFF = ("tags", "external_ids")  # the fields that guests see but may not set


def require_may_open(caller: Caller, values: Mapping[str, object]) -> None:
    """Raise Forbidden unless the caller may open a ticket with these fields."""
    for field in OF_STAFF:
        if values.get(field):
            caller.require("staff", f"set {field} of tickets")


def allowed_statuses(caller: Caller, status: Status) -> list[Status]:
    """The other statuses that the caller may give a ticket with this status. Those of a credential
    without the scope to write are none."""
    if "tickets:write" not in caller.scopes:
        return []
    if caller.role == "guest":
        return list(_OF_GUESTS[status])
    return [other for other in STATUSES if other != status]


def require_may_change(caller: Caller, ticket: Ticket, values: Mapping[str, object]) -> None:
    """Raise Forbidden unless the caller's role allows these changes.

    Guests close and reopen; staff change everything except the property and the requester; managers and
    above change everything. `values` maps field names to wanted values, which may be invalid.
    """
    if caller.role == "guest":
        wanted = values.get("status")
        is_other = wanted in STATUSES and (wanted == "in_progress" or wanted != ticket.status)
        if values.keys() - {"status"} or (is_other and wanted not in _OF_GUESTS[ticket.status]):
            raise Forbidden("The role guest may only close and reopen a ticket.")
    if "property_id" in values:
        caller.require("manager", "move a ticket to another property")
    if "requester_id" in values:
        caller.require("manager", "change the requester of a ticket")


def require_may_comment(caller: Caller, visibility: object) -> None:
    """Raise Forbidden when the caller's role does not allow comments of this visibility."""
    if visibility == "internal":
        caller.require("staff", "write internal comments")
