"""An API key's life as the log tells it. The secret and its hash are never part of an event."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from domain.access import Context, Rights, Role, rights_of_credential
from domain.aggregate import Aggregate, DomainEvent


class ApiKeyIssued(DomainEvent, frozen=True, tag="api_key.issued"):
    """`property_ids` empty means no restriction beyond the user's own; `rate_limit` is requests per
    hour, None without limit."""

    name: str
    role: Role
    user_id: str | None
    property_ids: tuple[str, ...]
    scopes: tuple[str, ...]
    rate_limit: int | None
    expires_at: datetime | None


class ApiKeyRevoked(DomainEvent, frozen=True, tag="api_key.revoked"):
    pass


ApiKeyEvent = ApiKeyIssued | ApiKeyRevoked


class ApiKey(Aggregate):
    kind: ClassVar[str] = "API key"
    first_event: ClassVar[type[DomainEvent]] = ApiKeyIssued
    name: str = ""
    role: Role = "guest"
    user_id: str | None = None
    property_ids: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    rate_limit: int | None = None
    expires_at: datetime | None = None
    is_revoked: bool = False

    @classmethod
    def issue(
        cls,
        key_id: str,
        context: Context,
        *,
        name: str,
        role: Role,
        user_id: str | None,
        property_ids: tuple[str, ...],
        scopes: tuple[str, ...],
        rate_limit: int | None,
        expires_at: datetime | None,
    ) -> ApiKey:
        key = cls(id=key_id)
        key.record(
            ApiKeyIssued,
            context,
            name=name,
            role=role,
            user_id=user_id,
            property_ids=property_ids,
            scopes=scopes,
            rate_limit=rate_limit,
            expires_at=expires_at,
        )
        return key

    @property
    def rights(self) -> Rights:
        """The most the key allows, whoever it belongs to."""
        return rights_of_credential(self.role, self.property_ids)

    def revoke(self, context: Context) -> None:
        if not self.is_revoked:
            self.record(ApiKeyRevoked, context)

    def apply(self, event: ApiKeyEvent) -> None:
        match event:
            case ApiKeyIssued():
                self.name = event.name
                self.role = event.role
                self.user_id = event.user_id
                self.property_ids = event.property_ids
                self.scopes = event.scopes
                self.rate_limit = event.rate_limit
                self.expires_at = event.expires_at
            case ApiKeyRevoked():
                self.is_revoked = True
