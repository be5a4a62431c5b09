# Made by generate.py from the OpenAPI document of the API. Do not edit.
"""The objects in bodies and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class Error(msgspec.Struct, kw_only=True):
    status: str
    error: ErrorBody


class ErrorBody(msgspec.Struct, kw_only=True):
    code: str
    message: str
    details: dict[str, list[str]]
    request_id: str


class Meta(msgspec.Struct, kw_only=True):
    pagination: Pagination


class Pagination(msgspec.Struct, kw_only=True):
    """Where the page is in the list. With `page` there are totals. With `cursor` (empty for the first page) there is `next_cursor` instead, null on the last page."""

    total: int | UnsetType = UNSET
    count: int
    per_page: int
    current_page: int | UnsetType = UNSET
    total_pages: int | UnsetType = UNSET
    next_cursor: str | UnsetType | None = UNSET
    links: Links


class Links(msgspec.Struct, kw_only=True):
    """The addresses of the next and the previous page; absent if there is none"""

    next: str | UnsetType = UNSET
    previous: str | UnsetType = UNSET


class ActorView(msgspec.Struct, kw_only=True):
    """`user` is null for a key without a user, for an operator and for the system. `role` is the role of the
    actor at that time.
    """

    user: Reference | None
    role: str


class Address(msgspec.Struct, kw_only=True):
    street: str
    city: str
    state: str
    zip: str
    country: str


class AddressBody(msgspec.Struct, kw_only=True):
    street: str
    city: str
    state: str
    zip: str
    country: str


class AttachmentView(msgspec.Struct, kw_only=True):
    """`url` is a signed address that expires; `size` is in bytes."""

    id: str
    filename: str
    url: str
    size: int
    content_type: str
    created_at: datetime


class AttemptView(msgspec.Struct, kw_only=True):
    """One attempt. Without an answer `response_status` is null and `error` is the reason. `response_body` is
    the first 2 kB as text.
    """

    attempt: int
    at: datetime
    url: str
    headers: dict[str, str]
    response_status: int | None
    response_body: str
    error: str | None
    latency_ms: int


class AuditEntry(msgspec.Struct, kw_only=True):
    """One event of the log. `position` is its place in the log, `version` its place in its aggregate.

    `subject_id` is the object that it concerns, `property_ids` are the properties within the reader's reach
    that it concerns, and `facts` are its own fields. `imported` is present if the event was imported: `time`
    and `actor` are then those of the other system.
    """

    id: str
    position: int
    version: int
    time: datetime
    exact_time: datetime
    action: str
    subject_id: str
    property_ids: list[str]
    actor: ActorView
    auth: AuthView
    request_id: str
    address_prefix: str | None
    facts: dict[str, Any]
    imported: ImportView | UnsetType = UNSET


class AuthView(msgspec.Struct, kw_only=True):
    """How the actor was authenticated, and the id of the key if there was one."""

    kind: str
    key_id: str | None


class BulkError(msgspec.Struct, kw_only=True):
    """Why an operation was refused, as in the envelope of errors."""

    code: str
    message: str
    details: dict[str, list[str]]


class BulkOperationBody(msgspec.Struct, kw_only=True):
    """One operation. `data` is the body of the single request: NewTicket for `create`, TicketChanges for
    `change`, NewComment for `comment`; none for `delete`.
    """

    op: Literal["change", "comment", "create", "delete"]
    ticket_id: str | UnsetType = UNSET
    if_match: int | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


class BulkOperations(msgspec.Struct, kw_only=True):
    """The body of POST."""

    operations: list[BulkOperationBody]
    atomic: bool | UnsetType = UNSET


class BulkResult(msgspec.Struct, kw_only=True):
    """The outcome of the operation number `index`, counted from 0: the status and the `data` or `error` that
    the single request would have had.
    """

    index: int
    status: int
    data: Any | UnsetType = UNSET
    error: BulkError | UnsetType = UNSET


class Change(msgspec.Struct, kw_only=True):
    """The value of a field before and after. Before the ticket is opened, every field is null."""

    from_: Any = msgspec.field(name="from")
    to: Any


class ChangeItem(msgspec.Struct, kw_only=True):
    """`upsert`: the object is new or has changed; `gone`: it was deleted, or has left what the caller may
    see; `reach_changed`: the caller's own role or properties have changed. One of the ids is present, except
    with `reach_changed`. An `upsert` has the object with all its fields, unless `full` is false.
    """

    position: int
    kind: str
    ticket_id: str | UnsetType = UNSET
    property_id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    version: int | UnsetType = UNSET
    ticket: TicketSummary | UnsetType = UNSET
    property: PropertyRecord | UnsetType = UNSET
    user: UserSummary | UnsetType = UNSET
    role: str | UnsetType = UNSET
    gained: list[str] | UnsetType = UNSET
    lost: list[str] | UnsetType = UNSET


class ChangesAnswer(msgspec.Struct, kw_only=True):
    """`position` is the value of `after` for the next request. `has_more`: there are more items now."""

    items: list[ChangeItem]
    position: str
    has_more: bool


class CloudEvent(msgspec.Struct, kw_only=True):
    """An event. `sequence` is its position with 20 digits. `ticketversion` is its version in its aggregate:
    1, 2, 3 and so on. `id` is the same each time the event is read.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    dataschema: str
    sequence: str
    ticketversion: str
    partitionkey: str
    traceparent: str
    data: dict[str, Any]


class CommentChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. The visibility of a comment cannot be changed: remove it, and write a new one."""

    text: str


class CommentView(msgspec.Struct, kw_only=True):
    """`visibility` and `edited_at` are present in lists of comments and absent inside a ticket.

    `edited_at` is null for a comment that was not edited.
    """

    id: str
    text: str
    user: Reference
    visibility: str | UnsetType = UNSET
    created_at: datetime
    edited_at: datetime | UnsetType | None = UNSET


class DeliveryView(msgspec.Struct, kw_only=True):
    """`message_id` is the webhook-id. `next_attempt_at` is null if no attempt is due."""

    id: str
    message_id: str
    event: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None
    response_status: int | None
    latency_ms: int | None
    request: RequestView
    attempts: list[AttemptView]


class EventFeed(msgspec.Struct, kw_only=True):
    """`position` is the value of `after` for the next request. `has_more`: whether there are more events."""

    events: list[CloudEvent]
    position: int
    has_more: bool


class EventProof(msgspec.Struct, kw_only=True):
    """The path from the hash of an event to a signed checkpoint. notary/proofs.py describes how to check it.
    Each of `pages` is a block of the log: number, first and last position, count of events (integers) and
    root (a text).
    """

    event_id: str
    position: int
    aggregate_id: str
    version: int
    type: str
    stored: str
    leaf: str
    path: list[ProofStep]
    root: str
    chain_before: str
    pages: list[list[Any]]
    checkpoint: str
    keys: list[str]


class EventType(msgspec.Struct, kw_only=True):
    """`name` is the last part of the schema's address. `type` is the attribute `type` of CloudEvents."""

    name: str
    type: str
    version: int
    title: str
    schema: str


class FileUpload(msgspec.Struct, kw_only=True):
    """The one part of the form, at most 25 MB, with its filename."""

    file: str


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


class ImportReport(msgspec.Struct, kw_only=True):
    """The number of objects that were created, and of those that existed already and were not changed."""

    created: int
    unchanged: int
    refused: list[RefusedItem]


class ImportView(msgspec.Struct, kw_only=True):
    """Who imported the event, when, and from which other system."""

    by: ActorView
    auth: AuthView
    at: datetime
    source: str


class Liveness(msgspec.Struct, kw_only=True):
    status: str


class NewComment(msgspec.Struct, kw_only=True):
    """The body of POST. Guests never see internal comments."""

    text: str
    visibility: Literal["internal", "public"] | UnsetType = UNSET


class NewImport(msgspec.Struct, kw_only=True):
    """Objects of one source. Each item has a `kind` (`property`, `unit`, `user` or `ticket`) and the fields
    that docs/how-to/import.md lists. Objects name each other by their ids in the source.
    """

    source: str
    items: list[dict[str, Any]]
    webhooks: bool | UnsetType = UNSET


class NewProperty(msgspec.Struct, kw_only=True):
    """The body of POST."""

    name: str
    address: AddressBody
    external_ids: dict[str, str] | UnsetType = UNSET


class NewSecret(msgspec.Struct, kw_only=True):
    """The new secret. Without `secret`, a secret is generated and shown once, in the answer."""

    secret: str | UnsetType | None = UNSET


class NewTicket(msgspec.Struct, kw_only=True):
    """The body of POST. Only managers and admins may give `requester_id`; by default it is the caller. Guests
    may give no `tags` and no `external_ids`.
    """

    title: str
    description: str | UnsetType = UNSET
    priority: Literal["critical", "high", "low", "medium"] | UnsetType = UNSET
    category: str | UnsetType = UNSET
    property_id: str
    unit_id: str | UnsetType | None = UNSET
    requester_id: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET


class NewUnit(msgspec.Struct, kw_only=True):
    name: str
    external_ids: dict[str, str] | UnsetType = UNSET


class NewUser(msgspec.Struct, kw_only=True):
    """The body of POST. A manager must give at least one of their own properties."""

    name: str
    email: str
    role: Literal["admin", "guest", "manager", "staff"]
    phone: str | UnsetType | None = UNSET
    property_ids: list[str] | UnsetType = UNSET
    preferences: PreferencesBody | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET


class NewWebhook(msgspec.Struct, kw_only=True):
    """The body of POST. Without `secret`, a secret is generated and shown once, in the answer."""

    url: str
    events: list[
        Literal[
            "ticket.*",
            "ticket.assigned",
            "ticket.commented",
            "ticket.created",
            "ticket.deleted",
            "ticket.resolved",
            "ticket.restored",
            "ticket.updated",
            "webhook.disabled",
            "webhook.failing",
        ]
    ]
    secret: str | UnsetType | None = UNSET
    payload_version: Literal[1, 2] | UnsetType = UNSET
    payload: Literal["full", "thin"] | UnsetType = UNSET
    filter: WebhookFilter | UnsetType = UNSET
    max_per_second: int | UnsetType | None = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET


class Notifications(msgspec.Struct, kw_only=True):
    """How the person wants to be notified. Only stored, for other systems: this system sends no messages."""

    email: bool
    sms: bool


class NotificationsBody(msgspec.Struct, kw_only=True):
    """How the person wants to be notified. Only stored, for other systems: this system sends no messages."""

    email: bool | UnsetType = UNSET
    sms: bool | UnsetType = UNSET


class OneTimeLink(msgspec.Struct, kw_only=True):
    """`url` is the address of a page on which the person sets a password. It is shown only here."""

    url: str
    expires_at: datetime


class Preferences(msgspec.Struct, kw_only=True):
    notifications: Notifications


class PreferencesBody(msgspec.Struct, kw_only=True):
    notifications: NotificationsBody | UnsetType = UNSET


class ProofStep(msgspec.Struct, kw_only=True):
    """A hash to combine with the hash computed so far, on the path to `root`. `left`: it is the left
    operand.
    """

    left: bool
    hash: str


class PropertyChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. An absent field stays as it is. The address is replaced as a whole, and of
    `external_ids` only the ids of the given sources.
    """

    name: str | UnsetType = UNSET
    address: AddressBody | UnsetType = UNSET
    external_ids: dict[str, str | None] | UnsetType = UNSET


class PropertyDetail(msgspec.Struct, kw_only=True):
    """A property with at most its first 1,000 units, by name."""

    id: str
    name: str
    address: Address
    units_count: int
    active_tickets_count: int
    external_ids: dict[str, str]
    units: list[UnitView]


class PropertyRecord(msgspec.Struct, kw_only=True):
    """A property without the numbers that follow from its tickets."""

    id: str
    name: str
    address: Address
    units_count: int
    external_ids: dict[str, str]


class PropertySummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    address: Address
    units_count: int
    active_tickets_count: int
    external_ids: dict[str, str]


class Readiness(msgspec.Struct, kw_only=True):
    """`projector_lag`: events not yet in the read tables. `parked_events`: events that could not be
    projected. `relay_lag`: events not yet in Kafka; null without Kafka. The fields with `lag_seconds`: the
    age of the oldest event that is not yet in the read tables, in Kafka, among the webhook deliveries, or in
    a signed checkpoint. `webhook_deliveries_due`: deliveries that wait to be posted, counted up to 10,000.
    `webhooks_failing`: webhooks whose last post failed. Neither these numbers nor the state of Kafka make
    the API unready.
    """

    status: str
    projector_lag: int
    projector_lag_seconds: float
    parked_events: int
    kafka: str
    relay_lag: int | None
    relay_lag_seconds: float | None
    webhook_dispatcher_lag_seconds: float
    notary_lag_seconds: float
    webhook_deliveries_due: int
    webhooks_failing: int


class Recovered(msgspec.Struct, kw_only=True):
    """`queued` is the number of dead deliveries that are due again."""

    queued: int


class Reference(msgspec.Struct, kw_only=True):
    """The id and the name of another object."""

    id: str
    name: str


class RefusedItem(msgspec.Struct, kw_only=True):
    """Why the item number `index`, counted from 0, was not imported."""

    index: int
    code: str
    message: str
    details: dict[str, list[str]]


class RegisteredWebhook(msgspec.Struct, kw_only=True):
    """`secret` is present only if this request generated it."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    secret: str | UnsetType = UNSET


class Replayed(msgspec.Struct, kw_only=True):
    """`queued` is the number of new deliveries. If `complete` is false, continue from `continue_from`."""

    queued: int
    complete: bool
    continue_from: datetime | None


class RequestView(msgspec.Struct, kw_only=True):
    """The request that was or will be sent. `body` is the exact content as text."""

    url: str | None
    headers: dict[str, str]
    body: str | None


class Since(msgspec.Struct, kw_only=True):
    """The start of the time span, with its offset from UTC."""

    since: datetime


class TicketAssignedV1(msgspec.Struct, kw_only=True):
    """A ticket was assigned to a person, or its assignee was removed."""

    event: str
    timestamp: datetime
    data: WebhookTicket
    id: str
    version: int
    sequence: int


class TicketAssignedV2(msgspec.Struct, kw_only=True):
    """A ticket was assigned to a person, or its assignee was removed."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketAssignedV2Thin(msgspec.Struct, kw_only=True):
    """A ticket was assigned to a person, or its assignee was removed."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. An absent field stays as it is; null clears it. `tags` replaces all tags, and
    `external_ids` only the ids of the given sources.
    """

    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    status: Literal["closed", "in_progress", "open"] | UnsetType = UNSET
    priority: Literal["critical", "high", "low", "medium"] | UnsetType = UNSET
    category: str | UnsetType = UNSET
    assigned_to: str | UnsetType | None = UNSET
    unit_id: str | UnsetType | None = UNSET
    property_id: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    external_ids: dict[str, str | None] | UnsetType = UNSET


class TicketCommentedV1(msgspec.Struct, kw_only=True):
    """A comment was added to a ticket."""

    event: str
    timestamp: datetime
    data: WebhookTicketWithComment
    id: str
    version: int
    sequence: int


class TicketCommentedV2(msgspec.Struct, kw_only=True):
    """A comment was added to a ticket."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketCommentedV2Thin(msgspec.Struct, kw_only=True):
    """A comment was added to a ticket."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketCount(msgspec.Struct, kw_only=True):
    count: int


class TicketCreatedV1(msgspec.Struct, kw_only=True):
    """A ticket was opened."""

    event: str
    timestamp: datetime
    data: WebhookTicket
    id: str
    version: int
    sequence: int


class TicketCreatedV2(msgspec.Struct, kw_only=True):
    """A ticket was opened."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketCreatedV2Thin(msgspec.Struct, kw_only=True):
    """A ticket was opened."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketDeletedV1(msgspec.Struct, kw_only=True):
    """A ticket was deleted."""

    event: str
    timestamp: datetime
    data: WebhookTicket
    id: str
    version: int
    sequence: int


class TicketDeletedV2(msgspec.Struct, kw_only=True):
    """A ticket was deleted."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketDeletedV2Thin(msgspec.Struct, kw_only=True):
    """A ticket was deleted."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketDetail(msgspec.Struct, kw_only=True):
    """A ticket with its files and its newest 100 comments, the oldest of them first. `comments_count` is the
    number of all its comments that the reader may see. `allowed_statuses` are the other statuses that the
    reader may set; an earlier state has none. `history` is present if `include` names it.
    """

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: Reference
    unit: Reference | None
    requester: Reference
    assigned_to: Reference | None
    number: int
    tags: list[str]
    external_ids: dict[str, str]
    attachments: list[AttachmentView]
    comments: list[CommentView]
    comments_count: int
    allowed_statuses: list[str]
    history: list[HistoryEntry] | UnsetType = UNSET


class TicketResolvedV1(msgspec.Struct, kw_only=True):
    """A ticket was closed."""

    event: str
    timestamp: datetime
    data: WebhookTicket
    id: str
    version: int
    sequence: int


class TicketResolvedV2(msgspec.Struct, kw_only=True):
    """A ticket was closed."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketResolvedV2Thin(msgspec.Struct, kw_only=True):
    """A ticket was closed."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketRestoredV1(msgspec.Struct, kw_only=True):
    """A deleted ticket was restored."""

    event: str
    timestamp: datetime
    data: WebhookTicket
    id: str
    version: int
    sequence: int


class TicketRestoredV2(msgspec.Struct, kw_only=True):
    """A deleted ticket was restored."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketRestoredV2Thin(msgspec.Struct, kw_only=True):
    """A deleted ticket was restored."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketSummary(msgspec.Struct, kw_only=True):
    """A ticket. A list has the further fields if `include` names them: the newest comments and events, the
    oldest of them first. `comments_count` comes with the comments.
    """

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: Reference
    unit: Reference | None
    requester: Reference
    assigned_to: Reference | None
    number: int
    tags: list[str]
    external_ids: dict[str, str]
    attachments: list[AttachmentView] | UnsetType = UNSET
    comments: list[CommentView] | UnsetType = UNSET
    comments_count: int | UnsetType = UNSET
    history: list[HistoryEntry] | UnsetType = UNSET


class TicketUpdatedV1(msgspec.Struct, kw_only=True):
    """A field of a ticket changed, a comment was edited or removed, or a file was attached or removed."""

    event: str
    timestamp: datetime
    data: WebhookChangedTicket
    id: str
    version: int
    sequence: int


class TicketUpdatedV2(msgspec.Struct, kw_only=True):
    """A field of a ticket changed, a comment was edited or removed, or a file was attached or removed."""

    event: str
    timestamp: datetime
    data: WebhookTicketV2
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketUpdatedV2Thin(msgspec.Struct, kw_only=True):
    """A field of a ticket changed, a comment was edited or removed, or a file was attached or removed."""

    event: str
    timestamp: datetime
    data: WebhookThinTicket
    id: str
    version: int
    sequence: int
    from_version: int
    payload_version: int


class TicketValues(msgspec.Struct, kw_only=True):
    """The body of PUT. An absent field of an existing ticket stays as it is; a new ticket, which needs
    `title` and `property_id`, gets the defaults of POST. A PUT cannot change the requester of an existing
    ticket.
    """

    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    status: Literal["closed", "in_progress", "open"] | UnsetType = UNSET
    priority: Literal["critical", "high", "low", "medium"] | UnsetType = UNSET
    category: str | UnsetType = UNSET
    assigned_to: str | UnsetType | None = UNSET
    unit_id: str | UnsetType | None = UNSET
    property_id: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    external_ids: dict[str, str | None] | UnsetType = UNSET
    requester_id: str | UnsetType = UNSET


class UnitChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. Only the ids of the given sources change."""

    external_ids: dict[str, str | None] | UnsetType = UNSET


class UnitView(msgspec.Struct, kw_only=True):
    id: str
    name: str
    external_ids: dict[str, str]


class UserChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. An absent field stays as it is; null clears it. Lists and preferences are replaced
    as a whole, of `external_ids` only the ids of the given sources. `active` false deactivates the person.
    """

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    phone: str | UnsetType | None = UNSET
    role: Literal["admin", "guest", "manager", "staff"] | UnsetType = UNSET
    property_ids: list[str] | UnsetType = UNSET
    preferences: PreferencesBody | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    external_ids: dict[str, str | None] | UnsetType = UNSET


class UserDetail(msgspec.Struct, kw_only=True):
    """`phone` and `preferences` are null for a reader who may not see them."""

    id: str
    name: str
    email: str
    phone: str | None
    role: str
    created_at: datetime
    updated_at: datetime
    properties: list[Reference]
    preferences: Preferences | None
    active: bool
    external_ids: dict[str, str]


class UserSummary(msgspec.Struct, kw_only=True):
    id: str
    name: str
    email: str
    role: str
    created_at: datetime
    properties: list[Reference]
    active: bool
    external_ids: dict[str, str]


class WebhookActor(msgspec.Struct, kw_only=True):
    """Who caused the event: a person, or a key without a person. For the system `id` is null."""

    id: str | None
    name: str
    role: str


class WebhookChangedTicket(msgspec.Struct, kw_only=True):
    """The whole ticket as of the version of the event, and the comment if one was edited."""

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: WebhookReference
    unit: WebhookReference | None
    requester: WebhookReference
    assigned_to: WebhookReference | None
    changes: dict[str, Change]
    actor: WebhookActor
    comment: WebhookComment | UnsetType = UNSET


class WebhookChanges(msgspec.Struct, kw_only=True):
    """The body of PATCH. An absent field stays as it is. The secret is changed by rotating it. `filter` and
    `headers` are replaced as a whole; `null` removes a limit.
    """

    url: str | UnsetType = UNSET
    events: (
        list[
            Literal[
                "ticket.*",
                "ticket.assigned",
                "ticket.commented",
                "ticket.created",
                "ticket.deleted",
                "ticket.resolved",
                "ticket.restored",
                "ticket.updated",
                "webhook.disabled",
                "webhook.failing",
            ]
        ]
        | UnsetType
    ) = UNSET
    enabled: bool | UnsetType = UNSET
    payload_version: Literal[1, 2] | UnsetType = UNSET
    payload: Literal["full", "thin"] | UnsetType = UNSET
    filter: WebhookFilter | UnsetType = UNSET
    max_per_second: int | UnsetType | None = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET


class WebhookComment(msgspec.Struct, kw_only=True):
    """The comment that was added or edited."""

    id: str
    text: str
    visibility: str
    user: WebhookReference
    created_at: datetime


class WebhookCondition(msgspec.Struct, kw_only=True):
    """With `in`, a change needs one of these values. With `not`, it may have none of those."""

    in_: list[str] | UnsetType | None = msgspec.field(name="in", default=UNSET)
    not_: list[str] | UnsetType | None = msgspec.field(name="not", default=UNSET)


class WebhookDisabledV1(msgspec.Struct, kw_only=True):
    """Another webhook of the same owner was disabled."""

    event: str
    timestamp: datetime
    data: WebhookIsDisabled
    id: str
    version: int | None
    sequence: int | None


class WebhookEvent(msgspec.Struct, kw_only=True):
    """`name` is the last part of the schema's address. `event` is the field `event` of the body."""

    name: str
    event: str
    version: int
    description: str
    schema: str


class WebhookFailing(msgspec.Struct, kw_only=True):
    """The webhook that is failing."""

    webhook_id: str
    url: str
    failures: int
    failing_since: datetime


class WebhookFailingV1(msgspec.Struct, kw_only=True):
    """Another webhook of the same owner failed several times in a row."""

    event: str
    timestamp: datetime
    data: WebhookFailing
    id: str
    version: int | None
    sequence: int | None


class WebhookFilter(msgspec.Struct, kw_only=True):
    """Conditions on a change, all of which must hold. Property, category, tags and priority are those of
    the ticket after the change. `changed_field` has the names in `changes`; those of comments and files are
    `comments` and `attachments`. `actor_role` is the role of who made the change.
    """

    property_id: WebhookCondition | UnsetType | None = UNSET
    category: WebhookCondition | UnsetType | None = UNSET
    tag: WebhookCondition | UnsetType | None = UNSET
    priority: WebhookCondition | UnsetType | None = UNSET
    changed_field: WebhookCondition | UnsetType | None = UNSET
    actor_role: WebhookCondition | UnsetType | None = UNSET


class WebhookIsDisabled(msgspec.Struct, kw_only=True):
    """The webhook that was disabled: by its owner, because its receiver answered 410, or after failures."""

    webhook_id: str
    url: str
    reason: str


class WebhookReference(msgspec.Struct, kw_only=True):
    """The id and the name of another object."""

    id: str
    name: str


class WebhookTest(msgspec.Struct, kw_only=True):
    """The webhook that is tested."""

    webhook_id: str


class WebhookTestV1(msgspec.Struct, kw_only=True):
    """The test of a webhook, sent on request. It is about no ticket."""

    event: str
    timestamp: datetime
    data: WebhookTest
    id: str
    version: int | None
    sequence: int | None


class WebhookThinTicket(msgspec.Struct, kw_only=True):
    """The ids of a ticket, its address, and the names of the fields that changed. `comments` and
    `attachments` are such names too.
    """

    id: str
    number: int
    url: str
    changed: list[str]
    comment_id: str | None


class WebhookTicket(msgspec.Struct, kw_only=True):
    """The whole ticket as of the version of the event, the changes and the actor."""

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: WebhookReference
    unit: WebhookReference | None
    requester: WebhookReference
    assigned_to: WebhookReference | None
    changes: dict[str, Change]
    actor: WebhookActor


class WebhookTicketV2(msgspec.Struct, kw_only=True):
    """The whole ticket as of the version of the last event, and all changes of the request."""

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: WebhookReference
    unit: WebhookReference | None
    requester: WebhookReference
    assigned_to: WebhookReference | None
    changes: dict[str, Change]
    actor: WebhookActor
    number: int
    truncated: bool
    url: str
    tags: list[str] | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET
    comment: WebhookComment | UnsetType = UNSET


class WebhookTicketWithComment(msgspec.Struct, kw_only=True):
    """The whole ticket as of the version of the event, and the comment."""

    id: str
    title: str
    description: str
    status: str
    priority: str
    category: str
    created_at: datetime
    updated_at: datetime
    property: WebhookReference
    unit: WebhookReference | None
    requester: WebhookReference
    assigned_to: WebhookReference | None
    changes: dict[str, Change]
    actor: WebhookActor
    comment: WebhookComment


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook and its state. `failures` counts the failed attempts since the last success.
    `disabled_reason` is owner, gone (the receiver answered 410) or failing (for days). `access_ended`: every
    delivery is withheld, because the key or application that registered the webhook may no longer read
    tickets, or its person is deactivated. `header_names` are the names of its custom headers; their values
    are never shown.
    """

    id: str
    url: str
    events: list[str]
    created_at: datetime
    updated_at: datetime
    enabled: bool
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    access_ended: bool
    payload_version: int
    payload: str
    filter: dict[str, dict[str, list[str]]]
    max_per_second: int | None
    max_in_flight: int | None
    header_names: list[str]
