"""Decides what a webhook may receive: only what its owner may read now."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from domain.access import AuthKind, Caller, Role, effective_rights
from domain.webhook_filter import WebhookFilter

Verdict = Literal["allowed", "withheld", "unknown"]


class Endpoint(NamedTuple):
    """A webhook with the rights of its owner; the fields are the columns of select_endpoints.

    `owner_role` is the role at registration. `credential_*` are the current values of the API key or OAuth
    client with which the owner registered the webhook (None: neither). `user_*` are those of the owner's user
    (None: no user, or one that the read tables do not have yet). `has_access`: the owner can read tickets.
    """

    id: str
    url: str
    event_names: list[str]
    registered_position: int
    purged_position: int
    failures: int
    owner_role: Role
    owner_auth: AuthKind
    owner_user_id: str | None
    owner_credential_id: str | None
    credential_role: Role | None
    credential_property_ids: list[str] | None
    has_access: bool
    user_role: Role | None
    user_property_ids: list[str] | None
    encrypted_secrets: list[bytes]
    payload_version: int = 1
    payload: str = "full"
    filter_text: str = "{}"
    encrypted_headers: bytes | None = None
    was_changed: bool = False

    @property
    def filter(self) -> WebhookFilter | None:
        """The conditions on the changes that are sent; None without any."""
        return None if self.filter_text == "{}" else _decode_filter(self.filter_text)


_decode_filter = lru_cache(maxsize=4_096)(msgspec.json.Decoder(WebhookFilter).decode)


def may_receive(
    endpoint: Endpoint, *, property_id: str | None, requester_id: str | None, is_internal: bool
) -> Verdict:
    """Whether the owner may read a message with these facts. A message without a property is a test.

    The owner may read nothing after its key was revoked or has expired, its application was revoked, or its
    grant has ended, and while its user is deactivated. The verdict is "unknown" until the read tables have
    the owner's user.
    """
    if not endpoint.has_access:
        return "withheld"
    if property_id is None:
        return "allowed"
    if endpoint.owner_user_id is not None and endpoint.user_role is None:
        return "unknown"
    caller = _caller(endpoint)
    if is_internal and caller.role == "guest":
        return "withheld"
    return "allowed" if caller.may_see_ticket(property_id, requester_id or "") else "withheld"


def _caller(endpoint: Endpoint) -> Caller:
    """The owner as a caller, whose role is at most that at the registration of the webhook."""
    person = credential = None
    if endpoint.user_role is not None:
        person = endpoint.user_role, endpoint.user_property_ids or ()
    if endpoint.credential_role is not None:
        credential = endpoint.credential_role, endpoint.credential_property_ids or ()
    rights = effective_rights(person, credential, at_most=endpoint.owner_role)
    principal_id = endpoint.owner_user_id or endpoint.owner_credential_id or ""
    return Caller(
        principal_id=principal_id,
        name=principal_id,
        role=rights.role,
        auth=endpoint.owner_auth,
        property_ids=rights.property_ids,
        key_property_ids=rights.key_property_ids,
    )
