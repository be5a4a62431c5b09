"""Signing in: sessions begun and ended, and attempts that failed, as the log tells them.

The secret in the browser's cookie is no part of an event. What was typed as the account's name is none
either: people type their password there by mistake.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent

EndReason = Literal["signed_out", "signed_in_again"]


class SessionStarted(DomainEvent, frozen=True, tag="session.started"):
    user_id: str


class SessionEnded(DomainEvent, frozen=True, tag="session.ended"):
    """A session that merely runs out has no such event; nor have those a new password ends."""

    reason: EndReason


class SignInsFailed(DomainEvent, frozen=True, tag="sign_in.failed"):
    """`user_id` None: no such account. `attempts` counts this one and those since the last such event of
    the same network that were not recorded one by one: the log must not be filled by guessing."""

    user_id: str | None
    attempts: int


SessionEvent = SessionStarted | SessionEnded
FailedSignInEvent = SignInsFailed


class Session(Aggregate):
    kind: ClassVar[str] = "session"
    first_event: ClassVar[type[DomainEvent]] = SessionStarted
    user_id: str = ""
    is_ended: bool = False

    @classmethod
    def start(cls, session_id: str, user_id: str, context: Context) -> Session:
        session = cls(id=session_id)
        session.record(SessionStarted, context, user_id=user_id)
        return session

    def end(self, reason: EndReason, context: Context) -> None:
        if not self.is_ended:
            self.record(SessionEnded, context, reason=reason)

    def apply(self, event: SessionEvent) -> None:
        match event:
            case SessionStarted():
                self.user_id = event.user_id
            case SessionEnded():
                self.is_ended = True


class FailedSignIn(Aggregate):
    """One record each: an attempt belongs to no session, and must not grow a user's own history."""

    kind: ClassVar[str] = "failed sign-in"
    first_event: ClassVar[type[DomainEvent]] = SignInsFailed
    user_id: str | None = None
    attempts: int = 0

    @classmethod
    def note(cls, id: str, context: Context, *, user_id: str | None, attempts: int) -> FailedSignIn:
        failure = cls(id=id)
        failure.record(SignInsFailed, context, user_id=user_id, attempts=attempts)
        return failure

    def apply(self, event: FailedSignInEvent) -> None:
        self.user_id = event.user_id
        self.attempts = event.attempts
