"""What the owner of a webhook may read now: it receives that and no more."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from domain.access import AuthKind, Caller, Rights, Role, rights_of_credential, rights_of_person

Verdict = Literal["allowed", "withheld", "unknown"]


class Endpoint(NamedTuple):
    """A webhook with its owner's rights as of the query; the order of select_endpoints' columns.

    `owner_role` is the role at registration, `credential_*` are those of the API key or OAuth client the
    owner came by, as it is now (None: by other means), `user_*` those of the owner's user (None: no user, or
    one that the read tables do not show yet). `has_access` says whether the owner can read tickets at all.
    """

    id: str
    url: str
    event_names: list[str]
    registered_position: int
    purged_position: int
    failures: int
    owner_role: str
    owner_auth: str
    owner_user_id: str | None
    owner_credential_id: str | None
    credential_role: str | None
    credential_property_ids: list[str] | None
    has_access: bool
    user_role: str | None
    user_property_ids: list[str] | None
    sealed_secrets: list[bytes]


def may_receive(
    endpoint: Endpoint, *, property_id: str | None, requester_id: str | None, is_internal: bool
) -> Verdict:
    """Whether the owner may read a message with these facts; one of no property is a test.

    A key that is revoked or expired reads nothing, nor does an application that is shut out or that the
    person lets act no more. "unknown" passes: the owner's user was registered this moment.
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
    """The owner as a caller. A key or application never reaches further than its user, and a webhook never
    further than its owner."""
    rights = Rights(role=cast(Role, endpoint.owner_role), property_ids=None)
    if endpoint.credential_role is not None:
        role = cast(Role, endpoint.credential_role)
        rights = rights.limited_to(rights_of_credential(role, endpoint.credential_property_ids or ()))
    own = rights.property_ids
    if endpoint.user_role is not None:
        role = cast(Role, endpoint.user_role)
        rights = rights.limited_to(rights_of_person(role, endpoint.user_property_ids or ()))
    principal_id = endpoint.owner_user_id or endpoint.owner_credential_id or ""
    return Caller(
        principal_id=principal_id,
        name=principal_id,
        role=rights.role,
        auth=cast(AuthKind, endpoint.owner_auth),
        property_ids=rights.property_ids,
        key_property_ids=own,
    )


def endpoint_of(row: Any) -> Endpoint:
    return Endpoint(*row)
