"""A step after the command fails (storing the answer, logging and others): the answer stays the same."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import falcon
import pytest
from falcon.testing import TestClient

from api.http.bodies import read_values, respond
from api.http.errors import Refused
from api.http.resource import Operation, Resource
from server.app import create_app
from tests.support.api import NewThing, services_on
from tests.support.keys import bearer, make_key


def store_answer(req: falcon.Request) -> None:
    del req.context.caller


def close_body(req: falcon.Request) -> None:
    req.context.body_file = io.BufferedWriter(io.FileIO("/dev/full", "w"))  # as on a full disk
    req.context.body_file.write(b"buffered, and written when it is closed")


def count(req: falcon.Request) -> None:
    req.uri_template = ["no route"]


def log(req: falcon.Request) -> None:
    req.context.started_at = "no time"


def note_access(req: falcon.Request) -> None:
    req.context.remote_addr = ["no address"]


class Breaking(Resource):
    """A POST makes one later step fail, and then succeeds or is refused."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(summary="Break", scope="properties:write", body=NewThing, status=201),
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        what = read_values(req, NewThing).read()
        BREAKERS[what.name](req)
        if what.refusal:
            raise Refused(what.refusal, "as asked")
        respond(resp, "done", status=201)


BREAKERS: dict[str, Any] = {
    step.__name__: step for step in (store_answer, close_body, count, log, note_access)
}


@pytest.fixture
def client(database, store, tmp_path):
    with services_on(database, tmp_path) as services:
        app = create_app(services, (("/v1/breaking", Breaking),))
        yield TestClient(app, headers=bearer(make_key(store).key))


@pytest.mark.parametrize("step", BREAKERS)
def test_a_failing_step_does_not_change_the_answer(client, step):
    refusal = "forbidden" if step == "note_access" else None  # only refusals are noted
    body = {"name": step, "refusal": refusal}

    answer = client.simulate_post("/v1/breaking", json=body, headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json.get("data")) == ((403, None) if refusal else (201, "done"))
