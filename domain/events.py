"""The one list of what is stored: a new event type is added to its aggregate's union, and so here."""

from __future__ import annotations

from domain.api_key import ApiKeyEvent
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
)
