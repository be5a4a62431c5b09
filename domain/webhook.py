"""Webhooks: addresses that receive signed posts about tickets. No event contains a webhook's secrets."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from domain.access import Actor, Context
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict, Invalid
from domain.webhook_filter import WebhookFilter

TicketEventName = Literal[
    "ticket.created",
    "ticket.updated",
    "ticket.resolved",
    "ticket.deleted",
    "ticket.restored",
    "ticket.assigned",
    "ticket.commented",
]
NoticeName = Literal["webhook.failing", "webhook.disabled"]  # about the owner's other webhooks
WebhookEventName = Literal[TicketEventName, "ticket.*", NoticeName]  # what a webhook subscribes to
MessageName = Literal[TicketEventName, "webhook.test", NoticeName]  # what is delivered
PayloadVersion = Literal[1, 2]
Payload = Literal["full", "thin"]
DisabledReason = Literal["owner", "gone", "failing"]  # disabled by its owner; answered 410; failed for days
DeliveryStatus = Literal["pending", "delivered", "dead", "withheld"]

WEBHOOK_EVENT_NAMES: tuple[WebhookEventName, ...] = get_args(WebhookEventName)
NO_OWNER = Actor(role="guest", auth="system")


class WebhookRegistered(DomainEvent, frozen=True, tag="webhook.registered"):
    """A webhook was registered. The event's actor owns it, and it receives what that actor may read.

    The defaults are those of webhooks from before payload version 2.
    """

    url: str
    event_names: tuple[str, ...]
    payload_version: PayloadVersion = 1
    payload: Payload = "full"
    filter: WebhookFilter = WebhookFilter()
    max_per_second: int | None = None
    max_in_flight: int | None = None
    header_names: tuple[str, ...] = ()


class WebhookUrlChanged(DomainEvent, frozen=True, tag="webhook.url_changed"):
    url: str


class WebhookEventNamesChanged(DomainEvent, frozen=True, tag="webhook.event_names_changed"):
    event_names: tuple[str, ...]


class WebhookPayloadChanged(DomainEvent, frozen=True, tag="webhook.payload_changed"):
    payload_version: PayloadVersion
    payload: Payload


class WebhookFilterChanged(DomainEvent, frozen=True, tag="webhook.filter_changed"):
    filter: WebhookFilter


class WebhookLimitsChanged(DomainEvent, frozen=True, tag="webhook.limits_changed"):
    max_per_second: int | None
    max_in_flight: int | None


class WebhookHeadersChanged(DomainEvent, frozen=True, tag="webhook.headers_changed"):
    """The headers of the posts were replaced. Their values are not in the log."""

    header_names: tuple[str, ...]


class WebhookEnabled(DomainEvent, frozen=True, tag="webhook.enabled"):
    pass


class WebhookDisabled(DomainEvent, frozen=True, tag="webhook.disabled"):
    reason: DisabledReason


class WebhookSecretRotated(DomainEvent, frozen=True, tag="webhook.secret_rotated"):
    pass


class WebhookDeleted(DomainEvent, frozen=True, tag="webhook.deleted"):
    pass


WebhookEvent = (
    WebhookRegistered
    | WebhookUrlChanged
    | WebhookEventNamesChanged
    | WebhookPayloadChanged
    | WebhookFilterChanged
    | WebhookLimitsChanged
    | WebhookHeadersChanged
    | WebhookEnabled
    | WebhookDisabled
    | WebhookSecretRotated
    | WebhookDeleted
)


class Webhook(Aggregate):
    """`event_names` are in the order in which they were given, without duplicates."""

    kind: ClassVar[str] = "webhook"
    first_event: ClassVar[type[DomainEvent]] = WebhookRegistered
    field_changes: ClassVar[tuple[type[DomainEvent], ...]] = (
        WebhookPayloadChanged,
        WebhookFilterChanged,
        WebhookLimitsChanged,
    )
    url: str = ""
    event_names: tuple[str, ...] = ()
    payload_version: PayloadVersion = 1
    payload: Payload = "full"
    filter: WebhookFilter = WebhookFilter()
    max_per_second: int | None = None
    max_in_flight: int | None = None
    header_names: tuple[str, ...] = ()
    owner: Actor = NO_OWNER
    is_enabled: bool = True
    disabled_reason: DisabledReason | None = None
    is_deleted: bool = False

    @classmethod
    def register(
        cls, webhook_id: str, context: Context, *, url: str, event_names: tuple[str, ...], **settings: Any
    ) -> Webhook:
        """`settings` are further fields of the first event."""
        names = _remove_duplicates(event_names)
        return cls.begin(webhook_id, context, url=url, event_names=names, **settings)

    def change_url(self, url: str, context: Context) -> None:
        if url != self.url:
            self.record(WebhookUrlChanged, context, url=url)

    def change_event_names(self, event_names: tuple[str, ...], context: Context) -> None:
        if _remove_duplicates(event_names) != self.event_names:
            self.record(WebhookEventNamesChanged, context, event_names=_remove_duplicates(event_names))

    def replace_headers(self, header_names: tuple[str, ...], context: Context) -> None:
        """Record that the headers were replaced, also when only their values differ."""
        if header_names or self.header_names:
            self.record(WebhookHeadersChanged, context, header_names=header_names)

    def require_payload(self) -> None:
        """Raise Invalid for a thin payload of version 1."""
        if self.payload == "thin" and self.payload_version == 1:
            raise Invalid({"payload": ["The payload thin needs payload_version 2."]})

    def enable(self, context: Context) -> None:
        if not self.is_enabled:
            self.record(WebhookEnabled, context)

    def disable(self, reason: DisabledReason, context: Context) -> None:
        if self.is_enabled:
            self.record(WebhookDisabled, context, reason=reason)

    def require_enabled(self) -> None:
        """Raise Conflict if the webhook is disabled: nothing can be sent to it."""
        if not self.is_enabled:
            raise Conflict("The webhook is disabled. Enable it first.")

    def rotate_secret(self, context: Context) -> None:
        self.record(WebhookSecretRotated, context)

    def delete(self, context: Context) -> None:
        if not self.is_deleted:
            self.record(WebhookDeleted, context)

    def apply(self, event: WebhookEvent) -> None:
        match event:
            case WebhookRegistered():
                self.copy_fields(event)
                self.owner = event.actor
            case WebhookEnabled():
                self.is_enabled, self.disabled_reason = True, None
            case WebhookDisabled():
                self.is_enabled, self.disabled_reason = False, event.reason
            case WebhookDeleted():
                self.is_deleted = True
            case _:
                self.copy_fields(event)


def _remove_duplicates(event_names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event_names))
