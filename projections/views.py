"""The objects in answers of the API, with the fields of the API reference in the same order.

Read functions return them, the API encodes them unchanged, and the OpenAPI document is generated from them.
Times are UTC with whole seconds.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import AuthKind, Role
from domain.changes import Change
from domain.comment import Visibility
from domain.property import Address
from domain.ticket import Priority, Status
from domain.times import whole_seconds
from domain.user import Preferences
from projections.rows import shared_fields

T = TypeVar("T")


def shown_values(source: msgspec.Struct, view: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that `view` has in common with a row or an aggregate, times in whole seconds."""
    names, times, read = _plan(type(source), view)
    values = dict(zip(names, read(source), strict=False))
    for name in times:
        if values[name] is not None:
            values[name] = whole_seconds(values[name])
    return values


@cache
def _plan(
    source: type[msgspec.Struct], view: type[msgspec.Struct]
) -> tuple[tuple[str, ...], tuple[str, ...], attrgetter[tuple[Any, ...]]]:
    """The names of the shared fields, the names of the times among them, and a function that reads them."""
    names = shared_fields(source, view)
    times = tuple(f.name for f in msgspec.structs.fields(view) if f.name in names and _is_time(f.type))
    return names, times, attrgetter(*names)


def _is_time(kind: Any) -> bool:
    return kind is datetime or datetime in get_args(kind)


class Reference(msgspec.Struct, frozen=True):
    """The id and the name of another object."""

    id: str
    name: str


class Names(NamedTuple):
    """What an answer has beyond the fields of a ticket: the fields of TicketFields with the same names."""

    number: int
    property: Reference
    unit: Reference | None
    requester: Reference
    assigned_to: Reference | None


class AttachmentView(msgspec.Struct, kw_only=True):
    """`url` is a signed address that expires; `size` is in bytes."""

    id: str
    filename: str
    url: str
    size: int
    content_type: str
    created_at: datetime


class CommentView(msgspec.Struct, kw_only=True):
    """`visibility` and `edited_at` are present in lists of comments and absent inside a ticket.

    `edited_at` is null for a comment that was not edited."""

    id: str
    text: str
    user: Reference
    visibility: Visibility | UnsetType = UNSET
    created_at: datetime
    edited_at: datetime | UnsetType | None = UNSET


class ActorView(msgspec.Struct, kw_only=True):
    """`user` is null for a key without a user, for an operator and for the system. `role` is the role of the
    actor at that time."""

    user: Reference | None
    role: Role


class AuthView(msgspec.Struct, kw_only=True):
    """How the actor was authenticated, and the id of the key if there was one."""

    kind: AuthKind
    key_id: str | None


class ImportView(msgspec.Struct, kw_only=True):
    """Who imported the event, when, and from which other system."""

    by: ActorView
    auth: AuthView
    at: datetime
    source: str


class HistoryEntry(msgspec.Struct, kw_only=True):
    """One event. `exact_time` is `time` to the microsecond; the order is that of `version`.

    `address_prefix` is the network from which the request came. Names are the current ones. `imported` is
    present if the event was imported: `time` and `actor` are then those of the other system.
    """

    version: int
    time: datetime
    exact_time: datetime
    action: str
    actor: ActorView
    auth: AuthView
    request_id: str
    address_prefix: str | None
    changes: dict[str, Change]
    imported: ImportView | UnsetType = UNSET


class TicketFields(msgspec.Struct, kw_only=True):
    """The fields that every ticket in an answer has."""

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
    number: int
    tags: tuple[str, ...]
    external_ids: dict[str, str]


class TicketSummary(TicketFields, kw_only=True):
    """A ticket. A list has the further fields if `include` names them: the newest comments and events, the
    oldest of them first. `comments_count` comes with the comments."""

    attachments: list[AttachmentView] | UnsetType = UNSET
    comments: list[CommentView] | UnsetType = UNSET
    comments_count: int | UnsetType = UNSET
    history: list[HistoryEntry] | UnsetType = UNSET


class TicketDetail(TicketFields, kw_only=True):
    """A ticket with its files and its newest 100 comments, the oldest of them first. `comments_count` is the
    number of all its comments that the reader may see. `allowed_statuses` are the other statuses that the
    reader may set; an earlier state has none. `history` is present if `include` names it."""

    attachments: list[AttachmentView]
    comments: list[CommentView]
    comments_count: int
    allowed_statuses: list[Status]
    history: list[HistoryEntry] | UnsetType = UNSET


class UserSummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    email: str
    role: Role
    created_at: datetime
    properties: list[Reference]
    active: bool
    external_ids: dict[str, str]


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
    active: bool
    external_ids: dict[str, str]


class UnitView(msgspec.Struct, kw_only=True):
    id: str
    name: str
    external_ids: dict[str, str]


class PropertySummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    address: Address
    units_count: int
    active_tickets_count: int
    external_ids: dict[str, str]


class PropertyDetail(PropertySummary, kw_only=True):
    """A property with at most its first 1,000 units, by name."""

    units: list[UnitView]


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list. `total` is None in cursor mode, which does not count.

    `last_key` is the (sort value, id) of the last item if there is a next one, else None.
    """

    items: list[T]
    total: int | None
    last_key: tuple[str | int, str] | None = None
