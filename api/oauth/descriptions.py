"""Descriptions of the errors for which oauthlib has none (RFC 6749 sections 4.1.2.1 and 5.2)."""

from __future__ import annotations

from domain.oauth_client import GRANT_TYPES

_DESCRIPTIONS = {
    "access_denied": "The person did not allow it.",
    "invalid_client": "The client is unknown or revoked, or its secret is wrong or missing.",
    "invalid_grant": "The code or refresh token is unknown, expired or used, or belongs to another client.",
    "invalid_request": "A parameter is missing, repeated or malformed.",
    "invalid_scope": "The scope exceeds what the client is registered for, or what the person allowed.",
    "unauthorized_client": "The client is not registered for this kind of request.",
    "unsupported_grant_type": f"The grant_type must be one of {', '.join(GRANT_TYPES)}.",
    "unsupported_response_type": "The response_type must be code.",
    "unsupported_token_type": "This type of token cannot be revoked.",
}
_OTHER = "The request could not be carried out."


def describe_error(error: str, description: str | None) -> str:
    """The description, or one for this error code."""
    return description or _DESCRIPTIONS.get(error, _OTHER)
