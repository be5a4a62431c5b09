"""/v1/tickets/bulk: several operations on tickets in one request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import falcon
import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.access_notes import Note
from api.http.bodies import read_object, respond
from api.http.error_size import shorten_details, shorten_text
from api.http.errors import STATUS_OF
from api.http.pending_changes import wait_until_shown
from api.http.problems import find_problems
from api.http.resource import MAX_BODY_BYTES, Operation, Resource
from api.http.sent_values import SentValues
from api.v1 import examples
from api.v1.shapes import own_comment, ticket_summary
from commands.several import Command, Outcomes, run_commands
from commands.ticket_opening import open_ticket
from commands.tickets import (
    NewComment,
    NewTicket,
    TicketChanges,
    change_ticket,
    comment_on_ticket,
    delete_ticket,
)
from domain.access import Context
from domain.errors import Details, DomainError, Invalid
from domain.text import Id
from domain.ticket import Ticket
from projections.tickets import names_of, numbers_of
from projections.views import Names

MOST_OPERATIONS = 100
MAX_BULK_BYTES = 8 * MAX_BODY_BYTES
NOT_APPLIED = 424  # the status of an operation that another one has prevented (RFC 4918, 11.4)

Kind = Literal["create", "change", "comment", "delete"]
_STATUS: dict[Kind, int] = {"create": 201, "change": 200, "comment": 201, "delete": 200}
_NOTED = ("forbidden", "not_found")  # refusals that are recorded in the audit trail


class BulkOperationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operation. `data` is the body of the single request: NewTicket for `create`, TicketChanges for
    `change`, NewComment for `comment`; none for `delete`."""

    op: Kind
    ticket_id: Annotated[Id, Meta(description="Of every operation but `create`")] | UnsetType = UNSET
    if_match: (
        Annotated[int, Meta(ge=1, description="The version that `change` and `delete` expect, as If-Match")]
        | UnsetType
    ) = UNSET
    data: dict[str, Any] | UnsetType = UNSET


class BulkOperations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST."""

    operations: Annotated[list[BulkOperationBody], Meta(min_length=1, max_length=MOST_OPERATIONS)]
    atomic: Annotated[bool, Meta(description="Apply all operations, or none if one is refused")] = False


class _Received(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body before its operations are read one by one."""

    operations: Annotated[list[Any], Meta(min_length=1, max_length=MOST_OPERATIONS)]
    atomic: bool = False


class BulkError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an operation was refused, as in the envelope of errors."""

    code: str
    message: str
    details: Details


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the operation number `index`, counted from 0: the status and the `data` or `error` that
    the single request would have had."""

    index: int
    status: int
    data: Any | UnsetType = UNSET
    error: BulkError | UnsetType = UNSET


class TicketBulk(Resource):
    """Creates, changes, comments on and deletes tickets."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Create, change, comment on and delete up to 100 tickets",
            description="The operations are applied in order. Each is allowed, refused and recorded as the"
            " single request would be; a refused one does not affect the others. With `atomic` all are"
            " applied, or none: then the operations that were not refused themselves have the status 424 and"
            " the code `not_applied`. The request counts once for the rate limit, and its Idempotency-Key"
            " covers all operations. The body may have 8 MiB, each operation 1 MiB. The answer is 200 also"
            " if all operations were refused.",
            roles="as for the single requests",
            scope="tickets:write",
            may_lag=True,
            body=BulkOperations,
            body_example=examples.BULK,
            max_body_bytes=MAX_BULK_BYTES,
            answer=list[BulkResult],
            answer_example=examples.BULK_RESULTS,
            errors=("conflict",),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = _read_body(req)
        contexts = [req.context.command(number) for number in range(len(body.operations))]
        read = [
            _read_operation(item, context) for item, context in zip(body.operations, contexts, strict=True)
        ]
        outcomes = run_commands(self.services.store, [command for _, command in read], is_atomic=body.atomic)
        stops_at = outcomes.refused if body.atomic else None
        if stops_at is None:
            wait_until_shown(req, resp, self.services, outcomes.position)
        kinds = [kind for kind, _ in read]
        shown = _Shown(self, kinds, body.operations, contexts)
        respond(resp, shown.results(outcomes, stops_at))
        self._note_refusals(req, outcomes, contexts, body.operations)

    def _note_refusals(
        self,
        req: falcon.Request,
        outcomes: Outcomes,
        contexts: Sequence[Context],
        operations: Sequence[Any],
    ) -> None:
        """Record the refusals that the audit trail would have of single requests."""
        for context, item, result in zip(contexts, operations, outcomes.results, strict=True):
            if isinstance(result, DomainError) and result.code in _NOTED:
                subject_id = item.get("ticket_id")
                note = Note(
                    context=context,
                    method="POST",
                    route=req.uri_template or "",
                    code=result.code,
                    subject_id=subject_id if isinstance(subject_id, str) else None,
                )
                self.services.access_notes.add(note)


def _read_body(req: falcon.Request) -> _Received:
    """The operations as they were sent: each is checked separately, also its texts."""
    given = read_object(req, MAX_BULK_BYTES)
    try:
        return msgspec.convert(given, _Received)
    except (msgspec.ValidationError, UnicodeError):
        raise Invalid(find_problems(given, _Received, noun="field")) from None


class _TooLarge(DomainError):
    code = "payload_too_large"


class _Shown:
    """Makes the results of the operations; reads the names of each place and person once."""

    def __init__(
        self,
        resource: Resource,
        kinds: Sequence[Kind],
        operations: Sequence[Any],
        contexts: Sequence[Context],
    ) -> None:
        self._pool = resource.services.pool
        self._kinds = kinds
        self._operations = operations
        self._contexts = contexts
        self._names: dict[tuple[str | None, ...], Names] = {}
        self._numbers: dict[str, int] = {}

    def results(self, outcomes: Outcomes, stops_at: int | None) -> list[BulkResult]:
        """`stops_at` is the index of the operation because of which nothing was applied, or None."""
        if stops_at is None:
            ids = {one.id for one in outcomes.results if isinstance(one, Ticket)}
            self._numbers = numbers_of(self._pool, list(ids))
        return [
            self._failed(index, result)
            if isinstance(result, DomainError)
            else self._not_applied(index, stops_at)
            if stops_at is not None
            else self._done(index, result)
            for index, result in enumerate(outcomes.results)
        ]

    def _done(self, index: int, ticket: Ticket) -> BulkResult:
        kind = self._kinds[index]
        data: Any = None
        if kind == "comment":
            sent = SentValues(self._operations[index]["data"], NewComment).read()
            data = own_comment(sent, ticket, self._contexts[index])
        elif kind != "delete":
            data = ticket_summary(ticket, self._names_of(ticket))
        return BulkResult(index=index, status=_STATUS[kind], data=data)

    def _names_of(self, ticket: Ticket) -> Names:
        key = ticket.property_id, ticket.unit_id, ticket.requester_id, ticket.assignee_id
        if key not in self._names:
            self._names[key] = names_of(self._pool, ticket)
        return self._names[key]._replace(number=self._numbers[ticket.id])

    def _failed(self, index: int, refusal: DomainError) -> BulkResult:
        details = shorten_details(refusal.details) if refusal.details else {}
        error = BulkError(code=refusal.code, message=shorten_text(str(refusal)), details=details)
        return BulkResult(index=index, status=STATUS_OF[refusal.code], error=error)

    def _not_applied(self, index: int, stops_at: int) -> BulkResult:
        message = f"Nothing was stored, because the operation {stops_at} was refused."
        error = BulkError(code="not_applied", message=message, details={})
        return BulkResult(index=index, status=NOT_APPLIED, error=error)


def _read_operation(item: Any, context: Context) -> tuple[Kind, Command]:
    """The kind of the operation, and its command, which raises Invalid if the operation is malformed."""
    try:
        if not isinstance(item, dict):
            raise Invalid({"operations": ["Each operation must be an object."]})
        if len(json.dumps(item, ensure_ascii=False).encode(errors="replace")) > MAX_BODY_BYTES:
            raise _TooLarge(f"An operation may not be larger than {MAX_BODY_BYTES:,} bytes.")
        data = item.get("data")
        head = {**item, "data": {}} if isinstance(data, dict) else item  # the command checks the data
        operation = SentValues(head, BulkOperationBody).read()
        _require_fields(operation)
        return operation.op, _command_of(operation, data or {}, context)
    except DomainError as refusal:
        return "delete", partial(_refuse, refusal)


def _refuse(refusal: DomainError, store: object) -> Ticket:
    raise refusal


def _require_fields(operation: BulkOperationBody) -> None:
    details: Details = {}
    needed = {"create": ("data",), "delete": ("ticket_id",)}.get(operation.op, ("ticket_id", "data"))
    allowed = {*needed, "if_match"} if operation.op in ("change", "delete") else set(needed)
    for name in ("ticket_id", "if_match", "data"):
        given = getattr(operation, name) is not UNSET
        if name in needed and not given:
            details[name] = [f"The {name} field is required for {operation.op}."]
        elif given and name not in allowed:
            details[name] = [f"The operation {operation.op} does not take the field {name}."]
    if details:
        raise Invalid(details)


def _command_of(operation: BulkOperationBody, data: Mapping[str, Any], context: Context) -> Command:
    ticket_id = operation.ticket_id or ""
    versions = None if operation.if_match is UNSET else frozenset((operation.if_match,))
    match operation.op:
        case "create":
            return lambda store: open_ticket(store, SentValues(data, NewTicket), context)
        case "change":
            values = SentValues(data, TicketChanges)
            return lambda store: change_ticket(store, ticket_id, values, context, versions)
        case "comment":
            return lambda store: comment_on_ticket(store, ticket_id, SentValues(data, NewComment), context)
        case "delete":
            return lambda store: delete_ticket(store, ticket_id, context, versions)
