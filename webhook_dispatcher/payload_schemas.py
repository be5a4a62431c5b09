"""The types of webhook bodies and their JSON Schemas: one for each event name and payload version.

The bodies themselves are made in webhook_dispatcher/payloads.py. Every body that the tests receive is
compared with its schema (tests/support/webhook_bodies.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.access import Role
from domain.changes import Change
from domain.comment import Visibility
from domain.ticket import Ticket
from domain.webhook import DisabledReason, MessageName, TicketEventName
from infrastructure.json_schemas import Schema, schemas_and_components
from webhook_dispatcher.payloads import PLAIN_FIELDS, TEST_EVENT

SCHEMAS_PATH = "/v1/webhook-events"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

MEANINGS: Mapping[str, str] = {
    "ticket.created": "A ticket was opened.",
    "ticket.updated": "A field of a ticket changed, a comment was edited or removed, or a file was attached"
    " or removed.",
    "ticket.resolved": "A ticket was closed.",
    "ticket.deleted": "A ticket was deleted.",
    "ticket.restored": "A deleted ticket was restored.",
    "ticket.assigned": "A ticket was assigned to a person, or its assignee was removed.",
    "ticket.commented": "A comment was added to a ticket.",
    TEST_EVENT: "The test of a webhook, sent on request. It is about no ticket.",
    "webhook.failing": "Another webhook of the same owner failed several times in a row.",
    "webhook.disabled": "Another webhook of the same owner was disabled.",
}


class WebhookReference(msgspec.Struct, frozen=True):
    """The id and the name of another object."""

    id: str
    name: str


class WebhookActor(msgspec.Struct, frozen=True):
    """Who caused the event: a person, or a key without a person. For the system `id` is null."""

    id: str | None
    name: str
    role: Role


class WebhookComment(msgspec.Struct, frozen=True):
    """The comment that was added or edited."""

    id: str
    text: str
    visibility: Visibility
    user: WebhookReference
    created_at: datetime


class WebhookTest(msgspec.Struct, frozen=True):
    """The webhook that is tested."""

    webhook_id: str


class WebhookFailing(msgspec.Struct, frozen=True):
    """The webhook that is failing."""

    webhook_id: str
    url: str
    failures: int
    failing_since: datetime


class WebhookIsDisabled(msgspec.Struct, frozen=True):
    """The webhook that was disabled: by its owner, because its receiver answered 410, or after failures."""

    webhook_id: str
    url: str
    reason: DisabledReason


class WebhookThinTicket(msgspec.Struct, frozen=True):
    """The ids of a ticket, its address, and the names of the fields that changed. `comments` and
    `attachments` are such names too."""

    id: str
    number: int
    url: str
    changed: list[str]
    comment_id: str | None


_ticket_types = get_type_hints(Ticket)
WebhookTicket: type[msgspec.Struct] = msgspec.defstruct(
    "WebhookTicket",
    [
        ("id", str),
        *((field, _ticket_types[field]) for field in PLAIN_FIELDS),
        ("created_at", datetime),
        ("updated_at", datetime),
        ("property", WebhookReference),
        ("unit", WebhookReference | None),
        ("requester", WebhookReference),
        ("assigned_to", WebhookReference | None),
        (
            "changes",
            Annotated[dict[str, Change], Meta(description="The fields that the event changed, by name")],
        ),
        ("actor", WebhookActor),
    ],
    namespace={"__doc__": "The whole ticket as of the version of the event, the changes and the actor."},
)
WebhookChangedTicket: type[msgspec.Struct] = msgspec.defstruct(
    "WebhookChangedTicket",
    [("comment", WebhookComment | UnsetType, UNSET)],
    bases=(WebhookTicket,),
    kw_only=True,
    namespace={
        "__doc__": "The whole ticket as of the version of the event, and the comment if one was edited."
    },
)
WebhookTicketWithComment: type[msgspec.Struct] = msgspec.defstruct(
    "WebhookTicketWithComment",
    [("comment", WebhookComment)],
    bases=(WebhookTicket,),
    kw_only=True,
    namespace={"__doc__": "The whole ticket as of the version of the event, and the comment."},
)
_TRUNCATED = "Whether the body would have been larger than 20 kB, so that texts were cut and values left out"
_ABSENT = "Absent only if the body is truncated"
WebhookTicketV2: type[msgspec.Struct] = msgspec.defstruct(
    "WebhookTicketV2",
    [
        ("number", int),
        ("truncated", Annotated[bool, Meta(description=_TRUNCATED)]),
        ("url", Annotated[str, Meta(description="The address of the whole ticket")]),
        ("tags", Annotated[list[str], Meta(description=_ABSENT)] | UnsetType, UNSET),
        (
            "external_ids",
            Annotated[dict[str, str], Meta(description=f"Ids in other systems, by source. {_ABSENT}")]
            | UnsetType,
            UNSET,
        ),
        ("comment", WebhookComment | UnsetType, UNSET),
    ],
    bases=(WebhookTicket,),
    kw_only=True,
    namespace={
        "__doc__": "The whole ticket as of the version of the last event, and all changes of the request."
    },
)
_DATA: Mapping[str, type[msgspec.Struct]] = {
    "ticket.updated": WebhookChangedTicket,
    "ticket.commented": WebhookTicketWithComment,
    TEST_EVENT: WebhookTest,
    "webhook.failing": WebhookFailing,
    "webhook.disabled": WebhookIsDisabled,
}


class Body(NamedTuple):
    """The type of a body: that of an event name, in one version."""

    event: str
    version: int
    kind: type[msgspec.Struct]


@cache
def bodies() -> Mapping[str, Body]:
    """Every body by the name of its schema, such as `ticket.created.v1` or `ticket.created.v2.thin`."""
    names: tuple[str, ...] = get_args(MessageName)
    found = {f"{name}.v1": Body(name, 1, _first_type(name)) for name in names}
    for name in get_args(TicketEventName):
        found[f"{name}.v2"] = Body(name, 2, _second_type(name, "V2", WebhookTicketV2))
        found[f"{name}.v2.thin"] = Body(name, 2, _second_type(name, "V2Thin", WebhookThinTicket))
    return found


def payload_schema(schema_name: str, base_url: str) -> Schema:
    """The complete JSON Schema of the bodies with this name."""
    kind = bodies()[schema_name].kind
    _, definitions = schemas_and_components([kind], "#/$defs/{name}")
    own = definitions.pop(kind.__name__)
    address = f"{base_url}{SCHEMAS_PATH}/{schema_name}"
    return {"$schema": DIALECT, "$id": address, **own, "$defs": definitions}


def _first_type(name: str) -> type[msgspec.Struct]:
    is_about_ticket = name in get_args(TicketEventName)  # others have no version and no position
    return _body_type(name, "V1", _DATA.get(name, WebhookTicket), int if is_about_ticket else int | None)


def _second_type(name: str, suffix: str, data: Any) -> type[msgspec.Struct]:
    more = [
        ("from_version", Annotated[int, Meta(description="The version before the request; 0: none")]),
        ("payload_version", Literal[2]),
    ]
    return _body_type(name, suffix, data, int, more)


def _body_type(
    name: str, suffix: str, data: Any, number: Any, more: Sequence[tuple[str, Any]] = ()
) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any]] = [
        ("event", Literal[name]),
        ("timestamp", Annotated[datetime, Meta(description="When the event occurred")]),
        ("data", data),
        ("id", Annotated[str, Meta(description="The same as the header webhook-id")]),
        ("version", Annotated[number, Meta(description="The version of the ticket")]),
        ("sequence", Annotated[number, Meta(description="The position of the event in the log")]),
        *more,
    ]
    words = "".join(word.capitalize() for word in name.split("."))
    return msgspec.defstruct(f"{words}{suffix}", fields, namespace={"__doc__": MEANINGS.get(name, name)})
