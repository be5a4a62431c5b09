"""Runs the API in this process on a real database, with two resources that exist only for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import falcon
import msgspec

from api.http.bodies import read_object, respond
from api.http.errors import Refused
from api.http.resource import Operation, Resource
from api.http.sent_values import SentValues
from api.http.services import Services, make_services
from domain.property import Address
from infrastructure.settings import Settings
from tests.support.arrange import register_property
from tests.support.commands import MASTER_KEY

SEASIDE = Address(street="123 Ocean Drive", city="Beachtown", state="CA", zip="90210", country="USA")


class NewThing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    fails: bool = False
    refusal: str | None = None


class ThingQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    x: str | None = None


class Things(Resource):
    """POST registers a property with that name, because that is the smallest real command."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="Show the caller", scope="tickets:read"),
        "POST": Operation(
            summary="Register a property",
            scope="properties:write",
            body=NewThing,
            query=ThingQuery,
            status=201,
        ),
        "DELETE": Operation(summary="Raise an error"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        respond(resp, {"caller": caller, "has_one_command": req.context.command() is req.context.command()})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_object(req)
        context = req.context.command()
        thing = SentValues(body, NewThing).read()
        registered = register_property(self.services.store, context.command_id, context, name=thing.name)
        if thing.fails:
            raise RuntimeError("after the command")
        if thing.refusal:
            raise Refused(thing.refusal, "after the command")
        resp.location = f"/v1/things/{registered.id}"
        resp.etag = '"1"'
        respond(resp, {"id": registered.id, "is_retry": context.is_retry}, status=201)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise RuntimeError("a secret: /etc/passwd")


class Thing(Resource):
    """GET returns the id of the path."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="Show the id", scope="tickets:read")
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, thing_id: str) -> None:
        respond(resp, thing_id)


ROUTES = (("/v1/things", Things), ("/v1/things/{thing_id}", Thing))


@contextmanager
def services_on(dsn: str, home: Path, **settings: Any) -> Iterator[Services]:
    """The services of an API worker on that database."""
    services = make_services(
        Settings(home=home, database_url=dsn, master_key=MASTER_KEY, **settings), b"k" * 32
    )
    try:
        yield services
    finally:
        services.close()
