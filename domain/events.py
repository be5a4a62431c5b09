"""The union of all stored events. A new event type is added to the union of its aggregate."""

from __future__ import annotations

from typing import get_args

from domain.api_key import ApiKeyEvent
from domain.audit import AuditEvent
from domain.oauth_client import OAuthClientEvent
from domain.oauth_grant import OAuthGrantEvent
from domain.property import PropertyEvent
from domain.session import FailedSignInEvent, SessionEvent
from domain.ticket import TicketEvent
from domain.user import UserEvent
from domain.webhook import WebhookEvent

StoredDomainEvent = (
    TicketEvent
    | UserEvent
    | PropertyEvent
    | ApiKeyEvent
    | SessionEvent
    | FailedSignInEvent
    | OAuthClientEvent
    | OAuthGrantEvent
    | WebhookEvent
    | AuditEvent
)

ACTIONS: tuple[str, ...] = tuple(
    sorted(str(kind.__struct_config__.tag) for kind in get_args(StoredDomainEvent))
)
