"""The values of a command, sent by a client or made in code: their fields and their problems."""

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from api.http.sent_values import SentValues
from commands.values import ValidValues
from domain.errors import Invalid
from domain.text import Name


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    unit_id: str | UnsetType = UNSET
    tags: tuple[str, ...] = ()


def no_such_unit(fields):
    return {"unit_id": ["There is no such unit."]} if "unit_id" in fields else {}


def test_sent_values_are_trimmed_and_completed_with_defaults():
    assert SentValues({"name": " Seaside "}, Move).read() == Move(name="Seaside")


def test_guards_get_every_sent_field_trimmed():
    assert SentValues({"name": " a ", "tags": [" b "], "other": 1}, Move).fields == {
        "name": "a",
        "tags": ["b"],
        "other": 1,
    }


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(text):
    sent = SentValues({"name": "Seaside", "unit_id": text}, Move)

    assert sent.fields["name"] == "Seaside"
    with pytest.raises(Invalid) as refused:
        sent.read()
    assert list(refused.value.details) == ["unit_id"]


def test_bad_fields_are_named_together_with_problems_of_valid_fields():
    sent = SentValues({"name": "", "unit_id": "u1"}, Move)

    with pytest.raises(Invalid) as refused:
        sent.read(no_such_unit)

    assert refused.value.details == {
        "name": ["The name field must not be empty."],
        "unit_id": ["There is no such unit."],
    }


def test_problems_are_searched_in_valid_fields_only():
    seen = []

    def record_fields(fields):
        seen.append(fields)
        return {}

    with pytest.raises(Invalid):
        SentValues({"name": " a ", "unit_id": 1, "tags": ["x", 2]}, Move).read(record_fields)
    SentValues({"name": " a ", "unit_id": " u1 "}, Move).read(record_fields)

    assert seen == [{"name": "a"}, {"name": "a", "unit_id": "u1"}]


@pytest.mark.parametrize("name", ["a.b", "name.x", "\ud800"])
def test_an_unknown_field_with_text_that_cannot_be_stored_is_named(name):
    sent = SentValues({"name": "Seaside", name: "a\0"}, Move)

    with pytest.raises(Invalid) as refused:
        sent.read(no_such_unit)

    assert len(refused.value.details) == 1


def test_a_field_of_the_wrong_type_is_named_once():
    with pytest.raises(Invalid) as refused:
        SentValues({"name": 1}, Move).read(lambda fields: {"name": ["Unknown."], "tags": ["Too few."]})

    assert refused.value.details == {"name": ["The name field must be a string."], "tags": ["Too few."]}


def test_valid_values_have_the_fields_that_are_set_and_are_read_unchanged():
    move = Move(name="Seaside")

    assert ValidValues(move).fields == {"name": "Seaside", "tags": ()}
    assert ValidValues(move).read() is move
    with pytest.raises(Invalid):
        ValidValues(Move(name="Seaside", unit_id="u1")).read(no_such_unit)


def test_a_bad_item_is_named_by_its_index_and_its_list_has_no_other_problems():
    class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        moves: tuple[Move, ...]
        note: str = ""

    sent = SentValues({"moves": [{"name": "A"}, {"name": " "}, {"tags": 1}], "note": "x"}, Batch)

    with pytest.raises(Invalid) as refused:
        sent.read(lambda fields: {name: ["Seen."] for name in fields})

    assert refused.value.details == {
        "moves.1.name": ["The moves.1.name field must not be empty."],
        "moves.2.name": ["The moves.2.name field is required."],
        "moves.2.tags": ["The moves.2.tags field must be a list."],
        "note": ["Seen."],
    }
