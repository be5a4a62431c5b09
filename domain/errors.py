"""Errors that refuse a command. Clients see `code`; api/http/errors.py maps it to an HTTP status."""

from __future__ import annotations

Details = dict[str, list[str]]


class DomainError(Exception):
    """A command was refused. The message is for the person who sent the command."""

    code = "domain_error"


class NotFound(DomainError):
    """The thing does not exist or the caller may not see it; answers must not reveal which."""

    code = "not_found"

    def __init__(self, what: str = "resource") -> None:
        super().__init__(f"No such {what}.")


class Forbidden(DomainError):
    """The caller may see the thing, but the role does not allow this."""

    code = "forbidden"


class Invalid(DomainError):
    """Values are not valid. `details` maps the dotted name of each bad field to its messages."""

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
    """The present state does not allow it; a later attempt may succeed."""

    code = "conflict"
