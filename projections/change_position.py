"""The position of a client that follows changes, as it is written in `after` and `position`."""

from __future__ import annotations

from typing import LiteralString, NamedTuple, Self

import msgspec

_NUMBER: LiteralString = "[0-9]{1,18}"
PATTERN: LiteralString = rf"^{_NUMBER}(\.{_NUMBER}(\.{_NUMBER}\.{_NUMBER})?)?$"


class Gained(NamedTuple):
    """How far the objects have been sent that a change of rights has added: those whose last event is at or
    below `sent_up_to`. `rights_before` is the position as of which the client had its rights before."""

    rights_before: int
    sent_up_to: int


class ChangePosition(msgspec.Struct, frozen=True):
    """Up to where a client has read the changes.

    `position` is the position of the log. `rights_at` is the position as of which the client knows its
    rights; None stands for the present rights, at the start. `gained` is set while the objects that a change
    of rights has added are sent.
    """

    position: int = 0
    rights_at: int | None = None
    gained: Gained | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text that matches PATTERN. The position alone stands for the rights as of this position."""
        position, *others = map(int, text.split("."))
        rights_at = others[0] if others else position or None
        return cls(position, rights_at, Gained(*others[1:]) if others[1:] else None)

    @classmethod
    def at(cls, position: int, rights_at: int) -> Self:
        """The position of a client that knows the present rights, which it has since `rights_at`."""
        return cls(position, max(position, rights_at))

    def __str__(self) -> str:
        numbers = [self.position]
        if self.rights_at is not None and (self.gained or self.rights_at != self.position):
            numbers.append(self.rights_at)
        return ".".join(map(str, (*numbers, *(self.gained or ()))))
