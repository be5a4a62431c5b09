"""Reading request bodies: media type, size and JSON are checked, and every bad field is named."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Annotated, Literal

import falcon
import msgspec
import pytest
from falcon.testing import create_environ
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from api.http.bodies import MAX_DEPTH, read_object
from api.http.errors import Refused
from api.http.idempotency import without
from api.http.resource import MAX_BODY_BYTES
from api.http.sent_values import SentValues
from domain.errors import Invalid
from pages.common.context import Request

JSON = "application/json"
EMPTY_STREET = "The others.1.street field must not be empty."


class Where(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    street: Annotated[str, Meta(min_length=1, max_length=5)]
    floor: int | None = None


class Leak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1, max_length=5)]
    priority: Literal["low", "medium", "high"] = "medium"
    category: Annotated[str, Meta(pattern=r"^[a-z]+$", description="One word.")] = "general"
    unit_id: str | UnsetType | None = UNSET
    where: Where | UnsetType = UNSET
    tags: tuple[Annotated[str, Meta(min_length=2)], ...] = ()
    others: Annotated[tuple[Where, ...], Meta(max_length=4)] = ()
    urgent: bool = False


def request(body=b"", content_type=JSON, **environ):
    defaults = create_environ(method="POST", path="/v1/tickets", body=body)
    if content_type is not None:
        defaults["CONTENT_TYPE"] = content_type
    return Request(defaults | environ)


def refusal_of(req):
    with pytest.raises(Refused) as caught:
        read_object(req)
    return caught.value


def details_of(body):
    with pytest.raises(Invalid) as caught:
        SentValues(body, Leak).read()
    assert str(caught.value) == next(iter(caught.value.details.values()))[0]
    return caught.value.details


def nested(levels):
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} x',
        b'{"a": 1}{"b": 2}',
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": -' + b"9" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        nested(MAX_DEPTH + 1),
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_a_body_that_is_not_a_json_object_is_refused(raw):
    assert refusal_of(request(raw)).code == "invalid_json"


def test_a_body_nested_to_the_limit_is_accepted():
    assert read_object(request(nested(MAX_DEPTH))) == json.loads(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'Application/JSON; charset="utf-8"',
    ],
)
def test_json_in_utf_8_is_accepted(content_type):
    assert read_object(request(b'{"a": "\\u00e9"}', content_type)) == {"a": "é"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "json",
        "text/json",
        "application/jsonx",
        "application/json; charset=latin-1",
        "application/json; version=1",
        "application/merge-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ],
)
def test_other_media_types_are_refused(content_type):
    assert refusal_of(request(b"{}", content_type)).code == "unsupported_media_type"


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read():
    class Untouchable:
        def read(self, size=-1):
            raise AssertionError("the body was read")

    req = request(CONTENT_LENGTH=str(MAX_BODY_BYTES + 1), **{"wsgi.input": Untouchable()})

    refusal = refusal_of(req)

    assert refusal.code == "payload_too_large"
    assert refusal.headers == {"Connection": "close"}


def chunked(body):
    environ = request().env | {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(body)}
    environ.pop("CONTENT_LENGTH", None)
    return Request(environ)


def test_a_chunked_body_is_read_up_to_the_limit():
    text = "x" * (MAX_BODY_BYTES - len('{"a":""}'))

    assert read_object(chunked(json.dumps({"a": text}, separators=(",", ":")).encode())) == {"a": text}
    assert refusal_of(chunked(b"x" * (MAX_BODY_BYTES + 1))).code == "payload_too_large"
    assert refusal_of(chunked(b"")).code == "invalid_json"


def test_a_body_shorter_than_its_length_is_refused():
    assert refusal_of(request(b'{"a": 1}', CONTENT_LENGTH="20")).code == "bad_request"


def test_a_body_can_be_read_again_from_the_cache():
    req = request(b'{"a": 1}')

    assert read_object(req) == read_object(req)


def test_strings_are_trimmed():
    body = {"title": " leak\n", "where": {"street": "\u00a0A St "}, "tags": [" ab "]}
    leak = SentValues(body, Leak).read()

    assert (leak.title, leak.where.street, leak.tags) == ("leak", "A St", ("ab",))


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "title", "The title field is required."),
        ({"title": None}, "title", "The title field must not be null."),
        ({"title": "  "}, "title", "The title field must not be empty."),
        ({"title": "longer"}, "title", "The title field may not be longer than 5 characters."),
        ({"title": 1}, "title", "The title field must be a string."),
        ({"title": "a\0"}, "title", "The title field must not contain the NUL character."),
        ({"priority": "urgent"}, "priority", "The priority field must be one of: low, medium, high."),
        ({"priority": 1}, "priority", "The priority field must be one of: low, medium, high."),
        ({"priority": []}, "priority", "The priority field must be one of: low, medium, high."),
        (
            {"category": "A"},
            "category",
            "The category field does not have the right form. One word.",
        ),
        ({"unit_id": 10**30}, "unit_id", "The unit_id field must be a string."),
        ({"where": 1}, "where", "The where field must be an object."),
        ({"where": {}}, "where.street", "The where.street field is required."),
        (
            {"where": {"street": "A", "floor": "1"}},
            "where.floor",
            "The where.floor field must be a whole number.",
        ),
        ({"where": {"street": "A", "x": 1}}, "where.x", "There is no field where.x here."),
        ({"tags": "ab"}, "tags", "The tags field must be a list."),
        ({"tags": ["ab", 1]}, "tags", "The tags field must be a string."),
        ({"others": [{"street": "A"}, {"street": ""}]}, "others.1.street", EMPTY_STREET),
        ({"others": [{"street": "A", "x": 1}]}, "others.0.x", "There is no field others.0.x here."),
        ({"others": [{}]}, "others.0.street", "The others.0.street field is required."),
        ({"others": ["A"]}, "others.0", "The others.0 field must be an object."),
        ({"others": [{"street": "A"}] * 5}, "others", "The others field may not have more than 4 items."),
        ({"urgent": 1}, "urgent", "The urgent field must be true or false."),
        ({"colour": "red"}, "colour", "There is no field colour here."),
        ({"a\0\ud800": 1}, "a\\0?", "There is no field a\\0? here."),
    ],
    ids=str,
)
def test_a_bad_field_is_named_with_a_message(fields, field, message):
    body = fields if "title" in fields or not fields else {"title": "leak", **fields}

    assert details_of(body) == {field: [message]}


def test_a_field_with_a_lone_surrogate_is_named():
    body = read_object(request(b'{"title": "leak", "unit_id": "\\ud800"}'))

    assert list(details_of(body)) == ["unit_id"]


def test_all_bad_fields_are_named_at_once_in_the_order_of_the_struct():
    body = {"x": 1, "tags": 2, "where": {"floor": []}, "priority": "urgent"}

    assert list(details_of(body)) == ["title", "priority", "where.street", "where.floor", "tags", "x"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)
leak_fields = st.sampled_from(Leak.__struct_fields__) | st.text(st.characters())


@given(st.dictionaries(leak_fields, json_values, max_size=6))
def test_every_object_is_accepted_or_its_bad_fields_are_named(body):
    try:
        SentValues(body, Leak).read(lambda fields: {name: ["Seen."] for name in fields})
    except Invalid as refusal:
        msgspec.json.encode(refusal.details)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw):
    with suppress(Refused):
        assert isinstance(read_object(request(raw)), dict)


def test_falcon_does_not_parse_form_bodies():
    assert not falcon.RequestOptions().auto_parse_form_urlencoded


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("left_out", [b"-", b"ab", b"aa", b"abab", b"a" * 70])
def test_a_boundary_is_left_out_of_the_hash_of_a_form_wherever_the_pieces_are_cut(size, left_out):
    body = (b"--ababab\r\naaa" + left_out * 3 + b"ab a-b" + left_out[:-1]) * 3
    pieces = [body[start : start + size] for start in range(0, len(body), size)]

    assert b"".join(without(pieces, left_out)) == body.replace(left_out, b"")
