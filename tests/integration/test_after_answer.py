"""What is done after an answer fails (keeping, closing, counting, logging, noting): it stays as it was."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import falcon
import pytest
from falcon.testing import TestClient

from api.http.bodies import read_object, respond, validate
from api.http.errors import Refused
from api.http.resource import Operation, Resource
from server.app import create_app
from tests.support.api import NewThing, services_on
from tests.support.keys import bearer, make_key


def store_answer(req: falcon.Request) -> None:
    del req.context.caller


def close_body(req: falcon.Request) -> None:
    req.context.body_file = io.BufferedWriter(io.FileIO("/dev/full", "w"))  # a disk that is full
    req.context.body_file.write(b"buffered, and written when it is closed")


def count(req: falcon.Request) -> None:
    req.uri_template = ["no route"]


def log(req: falcon.Request) -> None:
    req.context.started_at = "no time"


def note_access(req: falcon.Request) -> None:
    req.context.remote_addr = ["no address"]


class Breaking(Resource):
    """POST prepares the failure of one step, and then does its work or refuses it."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(summary="Break", scope="properties:write", body=NewThing, status=201),
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        what = validate(read_object(req), NewThing)
        BREAKERS[what.name](req)
        if what.refusal:
            raise Refused(what.refusal, "as asked")
        respond(resp, "done", status=201)


BREAKERS: dict[str, Any] = {one.__name__: one for one in (store_answer, close_body, count, log, note_access)}


@pytest.fixture
def client(database, store, tmp_path):
    with services_on(database, tmp_path) as services:
        app = create_app(services, (("/v1/breaking", Breaking),))
        yield TestClient(app, headers=bearer(make_key(store).key))


@pytest.mark.parametrize("step", BREAKERS)
def test_an_answer_stays_what_it_was(client, step):
    refusal = "forbidden" if step == "note_access" else None  # only of a refusal there is a note
    body = {"name": step, "refusal": refusal}

    answer = client.simulate_post("/v1/breaking", json=body, headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json.get("data")) == ((403, None) if refusal else (201, "done"))
