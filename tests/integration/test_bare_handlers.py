"""The baseline of the benchmark of requests answers with the fields of the API."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient
from msgspec.structs import fields

from benchmarks.bare_app import make_app, sql
from benchmarks.tickets import FIELDS, benchmark_context
from domain.ticket import Ticket
from infrastructure.ids import new_id
from projections.views import TicketDetail, TicketSummary
from tests.support.arrange import add_unit, register_property, register_user
from tests.support.keys import operator


@pytest.fixture
def bare(store, pool, catch_up):
    """A client of the bare handlers, and the id of a ticket."""
    register_property(store, FIELDS["property_id"], operator())
    add_unit(store, FIELDS["property_id"], FIELDS["unit_id"], operator())
    register_user(store, FIELDS["requester_id"], operator())
    ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
    store.save(ticket)
    catch_up()
    with pool.connection() as conn:
        conn.execute(sql["create_tickets"])
    return TestClient(make_app(pool)), ticket.id


def test_bare_handlers_answer_with_the_fields_of_the_api(bare) -> None:
    client, ticket_id = bare
    (listed,) = client.simulate_get("/v1/tickets").json["data"]
    assert listed.keys() == _required(TicketSummary)
    detail = client.simulate_get(f"/v1/tickets/{ticket_id}").json["data"]
    assert detail.keys() == _required(TicketDetail)
    changed = client.simulate_patch(f"/v1/tickets/{ticket_id}", json={"title": "New"}).json["data"]
    assert changed["title"] == "New"
    assert client.simulate_post("/v1/tickets", json=FIELDS).status_code == 201


def _required(shape: type[Any]) -> set[str]:
    return {field.encode_name for field in fields(shape) if field.required}
