"""Rules of all endpoints. The cases come from the declared operations, so new endpoints are included."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from api.http.resource import JSON
from infrastructure.storage.postgres import connect
from server.app import ROUTES

ABSENT = "01999999-9999-7999-8999-999999999999"
NUL, LONE_SURROGATE = "a\0b", "\ud800"
WRONG: list[Any] = [7, -0.5, 10**30, True, None, [], {}, [7], NUL, LONE_SURROGATE]
OPERATIONS = [
    (method, path, operation)
    for path, resource in ROUTES
    for method, operation in resource.operations.items()
    if not operation.public and path.startswith("/v1/")
]
WITH_BODY = [(m, p, o) for m, p, o in OPERATIONS if o.body is not None and o.body_media_type == JSON]
TYPES_OF = {
    inspect.StrType: str,
    inspect.LiteralType: str,
    inspect.IntType: int,
    inspect.BoolType: bool,
    inspect.NoneType: type(None),
    inspect.VarTupleType: list,
    inspect.ListType: list,
    inspect.StructType: dict,
    inspect.DictType: dict,
}


def label(value):
    return value if isinstance(value, str) else ""


@pytest.fixture
def address(site):
    """Returns a function that fills ids into a path, and whether they all exist."""

    def fill(path):
        known = {"{user_id}": "user101", "{property_id}": "abc123"}
        if "{ticket_id}" in path:
            known["{ticket_id}"] = site.ticket()["id"]
        path = re.sub(r"{[a-z_:]+}", lambda found: known.get(found[0], ABSENT), path)
        return path, ABSENT not in path

    return fill


@pytest.fixture
def count_events(site):
    def count():
        with connect(site.dsn, application="tests") as conn:
            # Refused writes are recorded later, as access.denied.
            statement = "SELECT count(*) FROM es.stored_events WHERE topic <> 'access.denied'"
            return conn.execute(statement).fetchone()[0]

    return count


def fields_of(kind, prefix=()):
    """Yield the path of every field, including nested ones, with the JSON types it accepts."""
    for field in inspect.type_info(kind).fields:
        info = field.type
        while isinstance(info, inspect.Metadata):
            info = info.type
        members = info.types if isinstance(info, inspect.UnionType) else (info,)
        members = [member.type if isinstance(member, inspect.Metadata) else member for member in members]
        yield (*prefix, field.encode_name), {TYPES_OF[type(m)] for m in members if type(m) in TYPES_OF}
        for member in members:
            if isinstance(member, inspect.StructType):
                yield from fields_of(member.cls, (*prefix, field.encode_name))


def with_value(body, path, value):
    """Return the body with that field set."""
    if len(path) == 1:
        return {**body, path[0]: value}
    return {**body, path[0]: with_value(body.get(path[0]) or {}, path[1:], value)}


def wrong_bodies(operation):
    """Yield bodies in which one field has a wrong type or text, with the path of that field."""
    for path, types in fields_of(operation.body):
        for value in WRONG:
            if type(value) not in types or value in (NUL, LONE_SURROGATE):
                yield path, with_value(operation.body_example, path, value)


@pytest.mark.parametrize(("method", "path", "operation"), WITH_BODY, ids=label)
def test_a_wrong_type_of_any_field_is_named_and_nothing_is_stored(
    site, address, count_events, method, path, operation
):
    (target, exists), client = address(path), site.client()
    before = count_events()

    for field, body in wrong_bodies(operation):
        raw = json.dumps(body).encode()
        answer = client.request(method, target, data=raw, headers={"Content-Type": JSON})

        assert answer.status_code in ((422,) if exists else (404, 422)), (field, body, answer.text)
        if answer.status_code == 422:
            details = answer.json()["error"]["details"]
            assert any(name.split(".")[0] == field[0] for name in details), (field, body, details)
    assert count_events() == before


@pytest.mark.parametrize(("method", "path", "operation"), WITH_BODY, ids=label)
def test_a_malformed_or_oversized_body_is_refused(site, address, count_events, method, path, operation):
    (target, exists), client = address(path), site.client()
    good, before = json.dumps(operation.body_example).encode(), count_events()

    def status(raw, content_type=JSON):
        return client.request(method, target, data=raw, headers={"Content-Type": content_type}).status_code

    assert status(b"{") == 400
    assert status(b"[" * 100_000) == 400
    assert status(good, "text/plain") == 415
    assert status(b" " * operation.max_body_bytes + good) == 413
    surprised = client.request(method, target, json={**operation.body_example, "surprise": 1})
    assert surprised.status_code in ((422,) if exists else (404, 422))
    assert count_events() == before


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=label)
def test_an_unknown_parameter_is_named(site, address, count_events, method, path, operation):
    target, exists = address(path)
    before = count_events()

    answer = site.client().request(method, f"{target}?surprise=1", json=operation.body_example)

    if not exists and answer.status_code == 404:
        return
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["surprise"]), answer.text
    assert count_events() == before


@pytest.mark.parametrize(
    ("method", "path", "operation"), [one for one in OPERATIONS if one[2].query], ids=label
)
def test_nul_invalid_utf_8_and_repeated_parameters_are_refused(site, address, method, path, operation):
    (target, exists), client = address(path), site.client()
    for field in msgspec.structs.fields(operation.query):
        name = field.encode_name
        twice = f"{name}=,&{name}=1" if field.default == () else f"{name}=1&{name}=1"  # lists may be repeated
        for query in (f"{name}=%00", f"{name}=%ff", twice):
            answer = client.request(method, f"{target}?{query}")
            assert answer.status_code in ((422,) if exists else (404, 422)), (query, answer.text)
            if answer.status_code == 422:
                assert name in answer.json()["error"]["details"], query


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=label)
def test_without_a_key_every_endpoint_is_401(site, address, method, path, operation):
    target, _ = address(path)

    answer = site.client(None).request(method, target, json=operation.body_example)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
