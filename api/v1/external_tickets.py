"""/v1/tickets/by-external-id/{source}/{id}: creates or changes the ticket that has an external id."""

from __future__ import annotations

from typing import Annotated, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http.bodies import read_values
from api.http.resource import Operation, Resource
from api.http.sent_values import SentValues
from api.v1 import examples
from api.v1.tickets import respond_with_ticket
from commands.ticket_upsert import put_ticket
from commands.tickets import TicketValues
from domain.errors import Invalid
from domain.text import ExternalId, ExternalSource
from projections.views import TicketSummary

_UNDECODABLE = "\ufffd"  # Falcon puts it in the place of bytes that are not UTF-8


class _Address(msgspec.Struct, frozen=True):
    """The parameters of the path."""

    source: Annotated[ExternalSource, Meta(description="A lower-case slug")]
    id: ExternalId


class TicketByExternalId(Resource):
    """The ticket that has an id in another system. The id may contain any characters, also slashes."""

    operations: ClassVar[dict[str, Operation]] = {
        "PUT": Operation(
            summary="Create or change a ticket by its external id",
            operation_id="putTicketByExternalId",
            description="Changes the ticket with this id of the source (200), or opens one that has it (201)."
            " The same request may be sent again: it changes nothing then. Absent fields stay as they are; a"
            " new ticket needs `title` and `property_id`, and its other fields have the defaults of POST."
            " `id` may contain any characters, each percent-encoded. The answer is 409 if the ticket is"
            " deleted or outside of your reach.",
            roles="staff and above, for properties within reach; to name a requester or to move a ticket to"
            " another property, manager and above",
            scope="tickets:write",
            may_lag=True,
            body=TicketValues,
            body_example=examples.TICKET_VALUES,
            answer=TicketSummary,
            answer_example=examples.TICKET,
            has_etag=True,
            may_create=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_put(self, req: falcon.Request, resp: falcon.Response, source: str, id: str) -> None:  # noqa: A002
        if _UNDECODABLE in id:
            raise Invalid({"id": ["The id in the address is not UTF-8."]})
        address = SentValues({"source": source, "id": id}, _Address).read()
        values, context = read_values(req, TicketValues), req.context.command()
        put = put_ticket(self.services.store, address.source, address.id, values, context)
        if put.is_new:
            resp.location = f"{self.services.settings.base_url}/v1/tickets/{put.ticket.id}"
        respond_with_ticket(req, resp, self.services, put.ticket, status=201 if put.is_new else 200)
