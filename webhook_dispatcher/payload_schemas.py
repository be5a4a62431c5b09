"""The types of webhook bodies and their JSON Schemas: one for each event name and payload version.

The bodies themselves are made in webhook_dispatcher/payloads.py. Every body that the tests receive is
compared with its schema (tests/support/webhook_bodies.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.access import Role
from domain.changes import Change
from domain.ticket import Ticket, Visibility
from domain.webhook import MessageName
from infrastructure.json_schemas import Schema, schemas_and_components
from webhook_dispatcher.payloads import PLAIN_FIELDS, TEST_EVENT

PAYLOAD_VERSION = 1
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
_DATA: Mapping[str, type[msgspec.Struct]] = {
    "ticket.updated": WebhookChangedTicket,
    "ticket.commented": WebhookTicketWithComment,
    TEST_EVENT: WebhookTest,
}


@cache
def payload_types() -> Mapping[str, type[msgspec.Struct]]:
    """The type of every body by event name."""
    return {name: _payload_type(name) for name in get_args(MessageName)}


def versioned(event_name: str) -> str:
    """The name of the schema of a body, such as `ticket.created.v1`."""
    return f"{event_name}.v{PAYLOAD_VERSION}"


def payload_schema(event_name: str, base_url: str) -> Schema:
    """The complete JSON Schema of the bodies with this event name."""
    kind = payload_types()[event_name]
    _, definitions = schemas_and_components([kind], "#/$defs/{name}")
    own = definitions.pop(kind.__name__)
    address = f"{base_url}{SCHEMAS_PATH}/{versioned(event_name)}"
    return {"$schema": DIALECT, "$id": address, **own, "$defs": definitions}


def _payload_type(name: str) -> type[msgspec.Struct]:
    number: Any = int | None if name == TEST_EVENT else int  # a test is about no ticket
    fields: list[tuple[str, Any]] = [
        ("event", Literal[name]),
        ("timestamp", Annotated[datetime, Meta(description="When the event occurred")]),
        ("data", _DATA.get(name, WebhookTicket)),
        ("id", Annotated[str, Meta(description="The same as the header webhook-id")]),
        ("version", Annotated[number, Meta(description="The version of the ticket")]),
        ("sequence", Annotated[number, Meta(description="The position of the event in the log")]),
    ]
    words = "".join(word.capitalize() for word in name.split("."))
    return msgspec.defstruct(
        f"{words}V{PAYLOAD_VERSION}", fields, namespace={"__doc__": MEANINGS.get(name, name)}
    )
