"""What an import brings in: properties, units, people and tickets, as their source describes them.

Objects name each other by their ids in the source, or else by their ids here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from commands.properties import AddressBody
from commands.values import Values
from domain.access import Context, Role
from domain.comment import Visibility
from domain.text import Category, CommentText, Description, Email, ExternalId, Name, Phone, Tags, Title
from domain.ticket import Priority, Status

Kind = Literal["property", "unit", "user", "ticket"]
Time = Annotated[datetime, Meta(tz=True)]


class ImportedProperty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    external_id: ExternalId
    name: Name
    address: AddressBody
    created_at: Time | None = None


class ImportedUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    external_id: ExternalId
    property: ExternalId
    name: Name
    created_at: Time | None = None


class ImportedUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    external_id: ExternalId
    name: Name
    email: Email
    role: Role = "guest"
    phone: Phone | None = None
    properties: tuple[ExternalId, ...] = ()
    created_at: Time | None = None


class ImportedComment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: CommentText
    author: ExternalId
    created_at: Time
    visibility: Visibility = "public"


class ImportedTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`closed_at` is the time of the last change of the status, if it is not open."""

    external_id: ExternalId
    title: Title
    description: Description = ""
    status: Status = "open"
    priority: Priority = "medium"
    category: Category = "general"
    property: ExternalId
    unit: ExternalId | None = None
    requester: ExternalId
    author: ExternalId | None = None
    assigned_to: ExternalId | None = None
    tags: Tags = ()
    created_at: Time
    closed_at: Time | None = None
    comments: tuple[ImportedComment, ...] = ()


KINDS: dict[Kind, type[msgspec.Struct]] = {
    "property": ImportedProperty,
    "unit": ImportedUnit,
    "user": ImportedUser,
    "ticket": ImportedTicket,
}


class Item(NamedTuple):
    """One object to import: its kind and its values, or the reason why it cannot be read."""

    kind: Kind
    values: Values[Any]


class Importer(NamedTuple):
    """`context` is that of the person or command that imports; `source` names the other system."""

    context: Context
    source: str
    notify: bool = False
