"""OAuth grants: what a person allowed an application to do, from the consent until it ends.

A grant makes each code and refresh token valid for one use: a use is an event, and two concurrent uses
compete for the same version of the grant, so that only one succeeds. A second use shows that the code or
token has leaked, and ends the grant (RFC 9700 section 4.14.2, RFC 6749 section 4.1.2). A refresh token that
is used again within REPEAT_TIME is no second use: its client has lost the answer, or has two windows. No
event contains a code, a token or the hash of one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent

LONGEST = timedelta(days=90)  # after this time the person must consent again
REPEAT_TIME = timedelta(seconds=30)  # in which a repeated refresh gets the same tokens

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
    """A refresh token was exchanged for new tokens. `generation` counts the refresh tokens of the grant; only
    the newest one is valid."""

    generation: int


class OAuthGrantEnded(DomainEvent, frozen=True, tag="oauth_grant.ended"):
    reason: EndReason


OAuthGrantEvent = OAuthGrantGiven | OAuthCodeRedeemed | OAuthTokenRefreshed | OAuthGrantEnded


class OAuthGrant(Aggregate):
    """`generation` is 0 until the code is redeemed. `used_at` has the times at which the last refresh tokens
    were used, by generation: those within REPEAT_TIME of the last use."""

    kind: ClassVar[str] = "OAuth grant"
    first_event: ClassVar[type[DomainEvent]] = OAuthGrantGiven
    client_id: str = ""
    user_id: str = ""
    scopes: tuple[str, ...] = ()
    generation: int = 0
    used_at: dict[int, datetime] = {}
    is_ended: bool = False

    @classmethod
    def give(
        cls, grant_id: str, context: Context, *, client_id: str, user_id: str, scopes: tuple[str, ...]
    ) -> OAuthGrant:
        return cls.begin(grant_id, context, client_id=client_id, user_id=user_id, scopes=scopes)

    def redeem_code(self, context: Context) -> bool:
        """Record the use of the code and return True; return False when it is invalid.
        A second use ends the grant."""
        if self.is_over(context.at):
            return False
        if self.generation > 0:
            self.end("code_used_twice", context)
            return False
        self.record(OAuthCodeRedeemed, context)
        return True

    def refresh(self, generation: int, context: Context) -> bool:
        """Record the use of the refresh token of that generation and return True; return False when it is
        invalid. A repeated use records nothing. A second use ends the grant."""
        if self.is_over(context.at):
            return False
        if self.is_repeated_use(generation, context.at):
            return True
        if generation != self.generation:
            self.end("refresh_token_used_twice", context)
            return False
        self.record(OAuthTokenRefreshed, context, generation=generation + 1)
        return True

    def is_repeated_use(self, generation: int, at: datetime) -> bool:
        """Whether the refresh token of that generation was used within REPEAT_TIME before."""
        used_at = self.used_at.get(generation)
        return used_at is not None and at - used_at <= REPEAT_TIME

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
            case OAuthCodeRedeemed():
                self.generation = 1
            case OAuthTokenRefreshed(generation=generation, occurred_at=at):
                recent = {used: when for used, when in self.used_at.items() if at - when <= REPEAT_TIME}
                self.used_at = {**recent, generation - 1: at}
                self.generation = generation
            case OAuthGrantEnded():
                self.is_ended = True
            case _:
                self.copy_fields(event)
