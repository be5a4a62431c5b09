"""Event schemas and golden events: they match the code, and no change breaks consumers."""

import json
import re
from pathlib import Path
from typing import Literal

import jsonschema
import msgspec
import pytest

from domain.aggregate import DomainEvent
from event_stream import schemas
from event_stream.asyncapi import describe_stream
from event_stream.compatibility import incompatibilities
from event_stream.envelope import as_cloudevent, to_record
from event_stream.event_types import components, event_types, schema_of, versioned
from infrastructure.settings import load_settings
from infrastructure.storage.event_store import decode, encode
from infrastructure.storage.recorder import StoredRow
from infrastructure.storage.topics import COMPRESSION, PARTITIONS
from tests.golden.__main__ import FOLDER as GOLDEN
from tests.golden.__main__ import golden_files, make_example
from tests.support.history import History

ASYNCAPI_SCHEMA = Path(__file__).parent.parent / "support" / "asyncapi" / "3.1.0.json"
ALL = sorted(event_types())
BASE_URL = "https://api.example.com"


def test_the_schema_files_are_up_to_date():
    """Run `python -m event_stream.schemas` if this fails."""
    files = {path.name: path.read_bytes() for path in schemas.FOLDER.glob("*.json")}

    assert sorted(files) == sorted(schemas.generate_files())
    assert files == schemas.generate_files()


def test_nothing_that_is_promised_is_broken():
    assert schemas.breaking_changes(schemas.read_schemas()) == []


@pytest.mark.parametrize("event_type", ALL)
def test_a_schema_is_valid_and_accepts_its_events(event_type):
    schema = schema_of(event_types()[event_type], BASE_URL)

    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.validate(json.loads(encode(make_example(event_types()[event_type]))))
    for path in golden_files(event_type):
        validator.validate(json.loads(path.read_bytes()))


def test_schemas_accept_the_events_of_a_random_history():
    validators = {
        name: jsonschema.Draft202012Validator(schema_of(kind, BASE_URL))
        for name, kind in event_types().items()
    }

    for events in History(1).grow(500):
        for event in events:
            validators[event.tag].validate(json.loads(encode(event)))


def test_a_schema_refuses_an_event_of_another_type():
    schema = schema_of(event_types()["ticket.opened"], BASE_URL)
    other = json.loads(encode(make_example(event_types()["ticket.moved"])))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(other, schema)


# Compatible and incompatible changes: each struct below is a later declaration of the event `Before`.


class Part(msgspec.Struct, frozen=True):
    size: int
    colour: Literal["red", "blue"] = "red"


class Before(DomainEvent, frozen=True, kw_only=True, tag="thing.happened"):
    name: str
    count: int
    word: Literal["one", "two"]
    part: Part
    parts: tuple[Part, ...]
    note: str | None = None


class FieldAdded(Before, frozen=True, kw_only=True, tag="thing.happened"):
    extra: str | None = None
    more: tuple[str, ...] = ()


class WordAdded(Before, frozen=True, kw_only=True, tag="thing.happened"):
    word: Literal["one", "two", "three"]


class Renamed(DomainEvent, frozen=True, kw_only=True, tag="thing.happened"):
    title: str
    count: int
    word: Literal["one", "two"]
    part: Part
    parts: tuple[Part, ...]
    note: str | None = None


class Removed(DomainEvent, frozen=True, kw_only=True, tag="thing.happened"):
    name: str
    count: int
    word: Literal["one", "two"]
    part: Part
    parts: tuple[Part, ...]


class Retyped(Before, frozen=True, kw_only=True, tag="thing.happened"):
    count: str


class MayBeNull(Before, frozen=True, kw_only=True, tag="thing.happened"):
    count: int | None


class RequiredAdded(Before, frozen=True, kw_only=True, tag="thing.happened"):
    extra: str


class RequiredNow(Before, frozen=True, kw_only=True, tag="thing.happened"):
    note: str | None


class OptionalNow(Before, frozen=True, kw_only=True, tag="thing.happened"):
    name: str = ""


class OtherDefault(Before, frozen=True, kw_only=True, tag="thing.happened"):
    note: str | None = "none"


class WordRemoved(Before, frozen=True, kw_only=True, tag="thing.happened"):
    word: Literal["one"]


class FreeText(Before, frozen=True, kw_only=True, tag="thing.happened"):
    word: str


class OtherTag(Before, frozen=True, kw_only=True, tag="thing.was"):
    pass


class OtherPart(msgspec.Struct, frozen=True):
    size: str
    colour: Literal["red", "blue"] = "red"


class InnerRetyped(Before, frozen=True, kw_only=True, tag="thing.happened"):
    part: OtherPart


class ItemRetyped(Before, frozen=True, kw_only=True, tag="thing.happened"):
    parts: tuple[OtherPart, ...]


class NotAList(Before, frozen=True, kw_only=True, tag="thing.happened"):
    parts: Part


def incompatibilities_of(kind):
    return incompatibilities(schema_of(Before, BASE_URL), schema_of(kind, BASE_URL))


@pytest.mark.parametrize("kind", [Before, FieldAdded, WordAdded])
def test_an_addition_is_compatible(kind):
    assert incompatibilities_of(kind) == []


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Renamed, "name"),
        (Renamed, "title"),
        (Removed, "note"),
        (Retyped, "count"),
        (MayBeNull, "count"),
        (RequiredAdded, "extra"),
        (RequiredNow, "note"),
        (OptionalNow, "name"),
        (OtherDefault, "note"),
        (WordRemoved, "word"),
        (FreeText, "word"),
        (OtherTag, "type"),
        (InnerRetyped, "part.size"),
        (ItemRetyped, "parts[].size"),
        (NotAList, "parts"),
    ],
)
def test_the_field_of_an_incompatible_change_is_named(kind, field):
    assert any(problem.startswith(f"{field}: ") for problem in incompatibilities_of(kind))


def test_an_event_type_that_is_gone_is_named():
    promised = {**schemas.read_schemas(), "ticket.exploded.v1": {}}

    assert schemas.breaking_changes(promised) == ["ticket.exploded.v1: the event type was removed"]


def test_a_broken_promise_that_is_checked_in_is_named():
    promised = schemas.read_schemas()
    promised["ticket.opened.v1"]["properties"]["title"]["type"] = "integer"

    (problem,) = schemas.breaking_changes(promised)

    assert problem.startswith("ticket.opened.v1: title: type was 'integer'")


# Golden events


@pytest.mark.parametrize("event_type", ALL)
def test_every_event_type_has_a_golden_event_with_its_present_fields(event_type):
    """Run `python -m tests.golden` if this fails."""
    *_, newest = golden_files(event_type) or [None]

    assert newest is not None
    assert list(json.loads(newest.read_bytes())) == list(
        json.loads(encode(make_example(event_types()[event_type])))
    )


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_event_can_be_read(path):
    """The newest is encoded to the same bytes; an older one also gets the fields added since."""
    stored = path.read_bytes()
    event_type = re.fullmatch(r"(.+)\.v1-\d+", path.stem).group(1)

    event = decode(stored)
    again = encode(event)

    assert event.tag == event_type
    assert decode(again) == event
    if path == golden_files(event_type)[-1]:
        assert again == stored
    else:
        assert json.loads(again).items() >= json.loads(stored).items()


# AsyncAPI


def test_the_asyncapi_document_is_valid():
    document = json.loads((schemas.FOLDER / schemas.ASYNCAPI).read_bytes())
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI_SCHEMA.read_bytes()))

    assert [error.message for error in validator.iter_errors(document)] == []
    del document["channels"]["events"]["messages"]["ticket.opened"]["$ref"]
    document["operations"]["publishEvents"]["action"] = "shout"
    assert not validator.is_valid(document)


def test_the_asyncapi_document_names_servers_keys_and_compression():
    settings = load_settings({"KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092, kafka-2:9092"})
    document = json.loads(msgspec.json.encode(describe_stream(settings)))
    topic = document["channels"]["events"]["bindings"]["kafka"]

    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI_SCHEMA.read_bytes()))
    assert [error.message for error in validator.iter_errors(document)] == []
    assert [one["host"] for one in document["servers"].values()] == ["kafka-1:9092", "kafka-2:9092"]
    assert {one["protocol"] for one in document["servers"].values()} == {"kafka"}
    assert len(document["channels"]["events"]["servers"]) == 2
    for message in document["components"]["messages"].values():
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
    assert (topic["x-compression"], topic["partitions"]) == (COMPRESSION, PARTITIONS)
    assert COMPRESSION in document["info"]["description"]


def test_the_asyncapi_document_says_when_there_is_no_kafka():
    (server,) = describe_stream(load_settings({}))["servers"].values()

    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in server["description"]
    assert server["host"] == "{bootstrap}"


def test_the_id_of_a_schema_is_the_dataschema_of_its_events():
    event = make_example(event_types()["ticket.opened"])
    row = StoredRow(7, event.originator_id, event.originator_version, event.tag, encode(event))
    headers = dict(to_record(row, source=BASE_URL).headers)

    assert headers["ce_dataschema"].decode() == schema_of(type(event), BASE_URL)["$id"]


def test_every_reference_in_the_asyncapi_document_resolves():
    document = json.loads((schemas.FOLDER / schemas.ASYNCAPI).read_bytes())
    references = set(re.findall(r'"\$ref": "(#[^"]+)"', json.dumps(document)))

    for reference in references:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    assert {f"#/components/messages/{event_type}" for event_type in ALL} <= references


def test_the_asyncapi_document_describes_the_headers_of_a_record():
    event = make_example(event_types()["ticket.opened"])
    row = StoredRow(7, event.originator_id, event.originator_version, event.tag, encode(event))
    document = json.loads((schemas.FOLDER / schemas.ASYNCAPI).read_bytes())
    headers = {name: value.decode() for name, value in to_record(row, source="http://x").headers}

    described = document["components"]["messageTraits"]["cloudEvent"]["headers"]
    jsonschema.validate(headers, described)
    assert set(headers) == set(described["properties"])
    assert len(headers) == len(described["required"])


def test_components_contain_the_nested_types():
    found = components(event_types().values(), "#/components/schemas/{name}")

    assert {"TicketOpened", "Actor", "Address"} <= found.keys()
    assert found["ApiKeyIssued"]["properties"]["expires_at"]["anyOf"][0]["format"] == "date-time"
    assert versioned("ticket.opened") == "ticket.opened.v1"


def test_the_feed_shows_the_attributes_of_the_record():
    event = make_example(event_types()["ticket.opened"])
    row = StoredRow(7, event.originator_id, event.originator_version, event.tag, encode(event))
    record = to_record(row, source=load_settings({}).base_url)

    shown = json.loads(msgspec.json.encode(as_cloudevent(record)))

    assert shown.pop("data") == json.loads(row.state)
    assert shown.pop("datacontenttype") == "application/json"
    attributes = {name.removeprefix("ce_"): value.decode() for name, value in record.headers}
    del attributes["content-type"]
    assert shown == attributes
