"""An application that works with the API through OAuth 2.0. Its secret and the hash of it are in no event."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from domain.access import Context, Rights, Role, rights_of_credential
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict

ClientKind = Literal["confidential", "public"]
GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]

CLIENT_KINDS: tuple[ClientKind, ...] = get_args(ClientKind)
GRANT_TYPES: tuple[GrantType, ...] = get_args(GrantType)


class OAuthClientRegistered(DomainEvent, frozen=True, tag="oauth_client.registered"):
    """`role` and `property_ids` are the most the client may do, whoever it acts for; no properties means
    no restriction. `rate_limit` is requests per hour for each person it acts for, None without limit."""

    name: str
    client_kind: ClientKind
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    grant_types: tuple[GrantType, ...]
    requires_pkce: bool
    role: Role
    property_ids: tuple[str, ...]
    rate_limit: int | None


class OAuthClientSecretRotated(DomainEvent, frozen=True, tag="oauth_client.secret_rotated"):
    """From now on only the new secret counts; tokens already given stay good."""


class OAuthClientRevoked(DomainEvent, frozen=True, tag="oauth_client.revoked"):
    """Every token of the client is void."""


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
    is_revoked: bool = False

    @classmethod
    def register(
        cls,
        client_id: str,
        context: Context,
        *,
        name: str,
        client_kind: ClientKind,
        redirect_uris: tuple[str, ...],
        scopes: tuple[str, ...],
        grant_types: tuple[GrantType, ...],
        requires_pkce: bool,
        role: Role,
        property_ids: tuple[str, ...],
        rate_limit: int | None,
    ) -> OAuthClient:
        client = cls(id=client_id)
        client.record(
            OAuthClientRegistered,
            context,
            name=name,
            client_kind=client_kind,
            redirect_uris=redirect_uris,
            scopes=scopes,
            grant_types=grant_types,
            requires_pkce=requires_pkce,
            role=role,
            property_ids=property_ids,
            rate_limit=rate_limit,
        )
        return client

    @property
    def rights(self) -> Rights:
        """The most the client may do, whoever it acts for."""
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
        match event:
            case OAuthClientRegistered():
                self.name = event.name
                self.client_kind = event.client_kind
                self.redirect_uris = event.redirect_uris
                self.scopes = event.scopes
                self.grant_types = event.grant_types
                self.requires_pkce = event.requires_pkce
                self.role = event.role
                self.property_ids = event.property_ids
                self.rate_limit = event.rate_limit
            case OAuthClientRevoked():
                self.is_revoked = True
