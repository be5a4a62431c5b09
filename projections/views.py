"""What a reader gets: the shapes of the API reference, field for field and in its order.

Read functions return these, the API encodes them as they are, and the OpenAPI document is generated
from them. Times are UTC with whole seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Role
from domain.property import Address
from domain.ticket import Priority, Status, Visibility
from domain.user import Preferences

T = TypeVar("T")


def whole_seconds(moment: datetime | None) -> datetime:
    """UTC with second precision. Those of an aggregate without events are None, and an error."""
    if moment is None:
        raise ValueError("an aggregate without events has no times")
    return moment.astimezone(UTC).replace(microsecond=0)


class Reference(msgspec.Struct, frozen=True):
    """Another thing by id, with the name a person knows it by."""

    id: str
    name: str


class TicketSummary(msgspec.Struct, kw_only=True):
    id: str
    title: str
    description: str
    status: Status
    priority: Priority
    category: str
    created_at: datetime
    updated_at: datetime
    property: Reference
    unit: Reference | None
    requester: Reference
    assigned_to: Reference | None


class AttachmentView(msgspec.Struct, kw_only=True):
    """`url` is a signed address that stops working after a while; `size` is in bytes."""

    id: str
    filename: str
    url: str
    size: int
    content_type: str
    created_at: datetime


class CommentView(msgspec.Struct, kw_only=True):
    """`visibility` is shown where comments are the subject, and left out inside a ticket."""

    id: str
    text: str
    user: Reference
    visibility: Visibility | UnsetType = UNSET
    created_at: datetime


class TicketDetail(TicketSummary, kw_only=True):
    attachments: list[AttachmentView]
    comments: list[CommentView]


class UserSummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    email: str
    role: Role
    created_at: datetime
    properties: list[Reference]


class UserDetail(msgspec.Struct, kw_only=True):
    """`phone` and `preferences` are null for a reader who may not see them."""

    id: str
    name: str
    email: str
    phone: str | None
    role: Role
    created_at: datetime
    updated_at: datetime
    properties: list[Reference]
    preferences: Preferences | None


class UnitView(msgspec.Struct, kw_only=True):
    id: str
    name: str


class PropertySummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    address: Address
    units_count: int
    active_tickets_count: int


class PropertyDetail(PropertySummary, kw_only=True):
    """At most the first 1,000 units, by name."""

    units: list[UnitView]


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list. `total` is None in cursor mode, which does not count.

    `last_key` is the (sort value, id) of the last item when there may be more after it, else None.
    """

    items: list[T]
    total: int | None
    last_key: tuple[str | int, str] | None = None
