"""Refusals the domain can give. `code` is what a client sees; api/http/errors.py picks the HTTP status."""

from __future__ import annotations

Details = dict[str, list[str]]


class DomainError(Exception):
    """A command was refused. The message is written for the person who sent it."""

    code = "domain_error"


class NotFound(DomainError):
    """Absent, or outside what the caller may see: the two must not be told apart."""

    code = "not_found"

    def __init__(self, what: str = "resource") -> None:
        super().__init__(f"No such {what}.")


class Forbidden(DomainError):
    """The caller sees the thing, but the role does not allow this."""

    code = "forbidden"


class Invalid(DomainError):
    """Well-formed values that the rules refuse. `details` maps each dotted field to its messages."""

    code = "validation_error"

    def __init__(self, details: Details) -> None:
        super().__init__(next(iter(details.values()))[0])
        self.details = details

    def beside(self, more: Details) -> Invalid:
        """The same refusal with what else is wrong; of a field named by both, what was said first."""
        added = {name: messages for name, messages in more.items() if name not in self.details}
        return Invalid(self.details | added)


class PreconditionFailed(DomainError):
    """The caller acts on a version that is no longer the current one (RFC 9110 section 13.1.1)."""

    code = "precondition_failed"

    def __init__(self, current: int) -> None:
        super().__init__(f'The current version is "{current}": read it again and repeat the change.')


class Conflict(DomainError):
    """The state of things does not allow it now; trying again later may work."""

    code = "conflict"
