"""Events about the use of the system: reads of the audit, and refused requests.

Each is an aggregate of one event, because it belongs to no other aggregate's history and must not compete
for a version. `times` counts equal occurrences within one minute that are recorded as one event, so that
repeated requests cannot fill the log.
"""

from __future__ import annotations

from typing import Any, ClassVar

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent


class AuditRead(DomainEvent, frozen=True, tag="audit.read"):
    """Someone read the audit. `filters` are the parameters of the query: ids and times."""

    route: str
    filters: dict[str, str]
    times: int


class AccessDenied(DomainEvent, frozen=True, tag="access.denied"):
    """An authenticated caller was refused a write, or access to the audit. `code` is the error code answered.

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
        """Keep nothing: no later event depends on it."""


class Denial(Aggregate):
    kind: ClassVar[str] = "denial"
    first_event: ClassVar[type[DomainEvent]] = AccessDenied

    @classmethod
    def note(cls, denial_id: str, context: Context, **facts: Any) -> Denial:
        """A new denial; `facts` are the own fields of AccessDenied."""
        return cls.begin(denial_id, context, **facts)

    def apply(self, event: AccessDenied) -> None:
        """Keep nothing: no later event depends on it."""
