"""API keys: their events and state. No event contains a key's secret or the hash of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from domain.access import Context, Rights, Role, rights_of_credential
from domain.aggregate import Aggregate, DomainEvent


class ApiKeyIssued(DomainEvent, frozen=True, tag="api_key.issued"):
    """A key was issued. Empty `property_ids`: no restriction beyond that of the user. `rate_limit` is in
    requests per hour; null means no limit."""

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
    def issue(cls, key_id: str, context: Context, **facts: Any) -> ApiKey:
        """A new key; `facts` are the own fields of ApiKeyIssued."""
        return cls.begin(key_id, context, **facts)

    @property
    def rights(self) -> Rights:
        """The upper limit of the key's rights; the rights of its user limit them further."""
        return rights_of_credential(self.role, self.property_ids)

    def revoke(self, context: Context) -> None:
        if not self.is_revoked:
            self.record(ApiKeyRevoked, context)

    def apply(self, event: ApiKeyEvent) -> None:
        if isinstance(event, ApiKeyRevoked):
            self.is_revoked = True
        else:
            self.copy_fields(event)
