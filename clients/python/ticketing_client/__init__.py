"""Client of the Modern Management Ticketing API."""

from ticketing_client.calls import Answer, Call, Upload
from ticketing_client.client import AsyncClient, Client
from ticketing_client.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    RateLimited,
    TicketingError,
    Unanswered,
    Unauthenticated,
    Unavailable,
)
from ticketing_client.proofs import NotAsSigned, check_export, check_proof
from ticketing_client.retries import Retries
from ticketing_client.webhooks import BadSignature, verify_webhook

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "BadSignature",
    "Call",
    "Client",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotAsSigned",
    "NotFound",
    "PreconditionFailed",
    "RateLimited",
    "Retries",
    "TicketingError",
    "Unanswered",
    "Unauthenticated",
    "Unavailable",
    "Upload",
    "check_export",
    "check_proof",
    "verify_webhook",
]
