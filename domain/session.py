"""Sign-in: the events of sessions, and of attempts that failed.

No event contains the secret of the session cookie. The account name that was typed is not stored either,
because people type their password there by mistake.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent

EndReason = Literal["signed_out", "signed_in_again"]


class SessionStarted(DomainEvent, frozen=True, tag="session.started"):
    user_id: str


class SessionEnded(DomainEvent, frozen=True, tag="session.ended"):
    """The person signed out or signed in again. Sessions that expire, or that end because of a new password,
    have no such event."""

    reason: EndReason


class SignInsFailed(DomainEvent, frozen=True, tag="sign_in.failed"):
    """Attempts to sign in failed. `user_id` null: the account does not exist. `attempts` counts the failed
    attempts from a network since the last such event. One event can stand for several attempts, so that
    guessing cannot fill the log."""

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
        return cls.begin(session_id, context, user_id=user_id)

    def end(self, reason: EndReason, context: Context) -> None:
        if not self.is_ended:
            self.record(SessionEnded, context, reason=reason)

    def apply(self, event: SessionEvent) -> None:
        if isinstance(event, SessionEnded):
            self.is_ended = True
        else:
            self.copy_fields(event)


class FailedSignIn(Aggregate):
    """An aggregate of one event: a failed attempt is not part of a session or of a user's history."""

    kind: ClassVar[str] = "failed sign-in"
    first_event: ClassVar[type[DomainEvent]] = SignInsFailed
    user_id: str | None = None
    attempts: int = 0

    @classmethod
    def note(cls, failure_id: str, context: Context, *, user_id: str | None, attempts: int) -> FailedSignIn:
        return cls.begin(failure_id, context, user_id=user_id, attempts=attempts)
