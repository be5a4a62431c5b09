"""OAuth 2.0 clients: their events and state. No event contains a client's secret or the hash of it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from domain.access import Context, Rights, Role, rights_of_credential
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict

ClientKind = Literal["confidential", "public"]
GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]

CLIENT_KINDS: tuple[ClientKind, ...] = get_args(ClientKind)
GRANT_TYPES: tuple[GrantType, ...] = get_args(GrantType)


class OAuthClientRegistered(DomainEvent, frozen=True, tag="oauth_client.registered"):
    """A client was registered. `role` and `property_ids` limit it for every person for whom it acts; empty
    `property_ids` means every property. `rate_limit` is in requests per hour for each of these people; null
    means no limit. `origins` are those of web pages that use the API in a browser."""

    name: str
    client_kind: ClientKind
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    grant_types: tuple[GrantType, ...]
    requires_pkce: bool
    role: Role
    property_ids: tuple[str, ...]
    rate_limit: int | None
    origins: tuple[str, ...] = ()


class OAuthClientSecretRotated(DomainEvent, frozen=True, tag="oauth_client.secret_rotated"):
    """The client has a new secret; the old one is invalid. Earlier tokens stay valid."""


class OAuthClientRevoked(DomainEvent, frozen=True, tag="oauth_client.revoked"):
    """The client and all its tokens are invalid."""


OAuthClientEvent = OAuthClientRegistered | OAuthClientSecretRotated | OAuthClientRevoked


class OAuthClient(Aggregate):
    kind: ClassVar[str] = "OAuth client"
    first_event: ClassVar[type[DomainEvent]] = OAuthClientRegistered
    name: str = ""
    client_kind: ClientKind = "confidential"
    redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    grant_types: tuple[GrantType, ...] = ()
    requires_pkce: bool = True
    role: Role = "guest"
    property_ids: tuple[str, ...] = ()
    rate_limit: int | None = None
    origins: tuple[str, ...] = ()
    is_revoked: bool = False

    @classmethod
    def register(cls, client_id: str, context: Context, **facts: Any) -> OAuthClient:
        """A new client; `facts` are the own fields of OAuthClientRegistered."""
        return cls.begin(client_id, context, **facts)

    @property
    def rights(self) -> Rights:
        """The upper limit of the client's rights; the rights of the person it acts for limit them further."""
        return rights_of_credential(self.role, self.property_ids)

    def rotate_secret(self, context: Context) -> None:
        if self.client_kind == "public":
            raise Conflict("A public client has no secret.")
        if self.is_revoked:
            raise Conflict("The client is revoked.")
        self.record(OAuthClientSecretRotated, context)

    def revoke(self, context: Context) -> None:
        if not self.is_revoked:
            self.record(OAuthClientRevoked, context)

    def apply(self, event: OAuthClientEvent) -> None:
        if isinstance(event, OAuthClientRevoked):
            self.is_revoked = True
        else:
            self.copy_fields(event)
