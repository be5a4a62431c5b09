"""What the log tells of its own readers, and of those who were turned away.

One record each: these things belong to nobody's history, and writing them must race with nothing.
`times` counts what happened alike within the same minute and was not recorded one by one, because the log
must not be filled by knocking.
"""

from __future__ import annotations

from typing import ClassVar

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent


class AuditRead(DomainEvent, frozen=True, tag="audit.read"):
    """Someone read the audit. `filters` are the parameters of the query, ids and times."""

    route: str
    filters: dict[str, str]
    times: int


class AccessDenied(DomainEvent, frozen=True, tag="access.denied"):
    """A caller we know was refused a write, or the audit. `code` is the one of the answer.

    `subject_id` is what the address named, whether or not there is such a thing.
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
        cls, id: str, context: Context, *, route: str, filters: dict[str, str], times: int
    ) -> AuditReading:
        reading = cls(id=id)
        reading.record(AuditRead, context, route=route, filters=filters, times=times)
        return reading

    def apply(self, event: AuditRead) -> None:
        pass


class Denial(Aggregate):
    kind: ClassVar[str] = "denial"
    first_event: ClassVar[type[DomainEvent]] = AccessDenied

    @classmethod
    def note(
        cls,
        id: str,
        context: Context,
        *,
        method: str,
        route: str,
        code: str,
        subject_id: str | None,
        times: int,
    ) -> Denial:
        denial = cls(id=id)
        denial.record(
            AccessDenied,
            context,
            method=method,
            route=route,
            code=code,
            subject_id=subject_id,
            times=times,
        )
        return denial

    def apply(self, event: AccessDenied) -> None:
        pass
