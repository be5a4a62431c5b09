"""Errors that refuse a command. Clients see `code`; api/http/errors.py maps it to an HTTP status."""

from __future__ import annotations

Details = dict[str, list[str]]


class DomainError(Exception):
    """A command was refused. The message is for the person who sent the command.

    `details`, if there are any, maps the dotted name of each bad field to its messages.
    """

    code = "domain_error"
    details: Details | None = None


class NotFound(DomainError):
    """The object does not exist or the caller may not see it; answers must not reveal which."""

    code = "not_found"

    def __init__(self, what: str = "resource") -> None:
        super().__init__(f"No such {what}.")


class Forbidden(DomainError):
    """The caller may see the object, but their rights do not allow this."""

    code = "forbidden"


class Invalid(DomainError):
    """Values are not valid."""

    code = "validation_error"
    details: Details

    def __init__(self, details: Details) -> None:
        super().__init__(next(iter(details.values()))[0])
        self.details = details


class PreconditionFailed(DomainError):
    """The caller expects a version that is no longer current (RFC 9110 section 13.1.1)."""

    code = "precondition_failed"

    def __init__(self, current: int) -> None:
        super().__init__(
            f'The current version is "{current}". Read the object again, and repeat the change with its ETag,'
            " in quotation marks, as If-Match."
        )


class Conflict(DomainError):
    """The current state does not allow the command; a later attempt may succeed."""

    code = "conflict"

    def __init__(self, message: str, *, details: Details | None = None) -> None:
        super().__init__(message)
        self.details = details
