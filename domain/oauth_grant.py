"""What a person let an application do, from the consent until it ends, as the log tells it.

The grant is what makes codes and refresh tokens good for one use: each use is an event, and two uses at
the same time want the same version of the grant, which only one of them gets. Whoever comes second shows
something that was used, so it has leaked, and the grant ends (RFC 9700 section 4.14.2, RFC 6749 section
4.1.2). Codes and tokens, and hashes of them, are in no event.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent

LONGEST = timedelta(days=90)  # after that the person is asked again, however often it was refreshed

EndReason = Literal[
    "withdrawn_by_user",
    "revoked_by_client",
    "revoked_by_admin",
    "code_used_twice",
    "refresh_token_used_twice",
]


class OAuthGrantGiven(DomainEvent, frozen=True, tag="oauth_grant.given"):
    client_id: str
    user_id: str
    scopes: tuple[str, ...]


class OAuthCodeRedeemed(DomainEvent, frozen=True, tag="oauth_grant.code_redeemed"):
    """The code was exchanged for the first tokens."""


class OAuthTokenRefreshed(DomainEvent, frozen=True, tag="oauth_grant.refreshed"):
    """`generation` counts the refresh tokens of the grant: the one of that number is good now."""

    generation: int


class OAuthGrantEnded(DomainEvent, frozen=True, tag="oauth_grant.ended"):
    reason: EndReason


OAuthGrantEvent = OAuthGrantGiven | OAuthCodeRedeemed | OAuthTokenRefreshed | OAuthGrantEnded


class OAuthGrant(Aggregate):
    """`generation` is 0 until the code is redeemed."""

    kind: ClassVar[str] = "OAuth grant"
    first_event: ClassVar[type[DomainEvent]] = OAuthGrantGiven
    client_id: str = ""
    user_id: str = ""
    scopes: tuple[str, ...] = ()
    generation: int = 0
    is_ended: bool = False

    @classmethod
    def give(
        cls, grant_id: str, context: Context, *, client_id: str, user_id: str, scopes: tuple[str, ...]
    ) -> OAuthGrant:
        grant = cls(id=grant_id)
        grant.record(OAuthGrantGiven, context, client_id=client_id, user_id=user_id, scopes=scopes)
        return grant

    def redeem_code(self, context: Context) -> bool:
        """Whether the code is good; a code used a second time ends the grant."""
        if self.is_over(context.at):
            return False
        if self.generation > 0:
            self.end("code_used_twice", context)
            return False
        self.record(OAuthCodeRedeemed, context)
        return True

    def refresh(self, generation: int, context: Context) -> bool:
        """Whether the refresh token of that number is good; one used a second time ends the grant."""
        if self.is_over(context.at):
            return False
        if generation != self.generation:
            self.end("refresh_token_used_twice", context)
            return False
        self.record(OAuthTokenRefreshed, context, generation=generation + 1)
        return True

    def end(self, reason: EndReason, context: Context) -> None:
        if not self.is_ended:
            self.record(OAuthGrantEnded, context, reason=reason)

    @property
    def ends_at(self) -> datetime | None:
        return self.created_at + LONGEST if self.created_at else None

    def is_over(self, at: datetime) -> bool:
        return self.is_ended or (self.ends_at is not None and at >= self.ends_at)

    def apply(self, event: OAuthGrantEvent) -> None:
        match event:
            case OAuthGrantGiven():
                self.client_id = event.client_id
                self.user_id = event.user_id
                self.scopes = event.scopes
            case OAuthCodeRedeemed():
                self.generation = 1
            case OAuthTokenRefreshed():
                self.generation = event.generation
            case OAuthGrantEnded():
                self.is_ended = True
