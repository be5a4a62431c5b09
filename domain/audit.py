"""Events about the use of the system: reads of the audit trail, and refused requests.

Each is the only event of its aggregate: it is not part of another aggregate's history, and concurrent
requests must not compete for a version. `times` counts equal requests within one minute that are recorded as
one event, so that repeated requests cannot fill the log.
"""

from __future__ import annotations

from typing import Any, ClassVar

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent


class AuditRead(DomainEvent, frozen=True, tag="audit.read"):
    """A caller read the audit trail. `filters` are the query parameters: ids and times."""

    route: str
    filters: dict[str, str]
    times: int


class AccessDenied(DomainEvent, frozen=True, tag="access.denied"):
    """An authenticated caller was refused a write, or access to the audit trail. `code` is the error
    code of the answer.

    `subject_id` is the id in the request's path; it may not exist.
    """

    method: str
    route: str
    code: str
    subject_id: str | None
    times: int


AuditEvent = AuditRead | AccessDenied


class AuditReading(Aggregate):
    kind: ClassVar[str] = "reading of the audit"
    first_event: ClassVar[type[DomainEvent]] = AuditRead

    @classmethod
    def note(
        cls, reading_id: str, context: Context, *, route: str, filters: dict[str, str], times: int
    ) -> AuditReading:
        return cls.begin(reading_id, context, route=route, filters=filters, times=times)

    def apply(self, event: AuditRead) -> None:
        """Change no state: no other event follows."""


class Denial(Aggregate):
    kind: ClassVar[str] = "denial"
    first_event: ClassVar[type[DomainEvent]] = AccessDenied

    @classmethod
    def note(cls, denial_id: str, context: Context, **facts: Any) -> Denial:
        """A new denial; `facts` are the own fields of AccessDenied."""
        return cls.begin(denial_id, context, **facts)

    def apply(self, event: AccessDenied) -> None:
        """Change no state: no other event follows."""
