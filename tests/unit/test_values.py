"""The values of a command, from a client or from code of ours: what they hold and what is wrong with them."""

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from api.http.bodies import SentValues
from commands.values import ValidValues
from domain.errors import Invalid
from domain.text import Name


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    unit_id: str | UnsetType = UNSET
    tags: tuple[str, ...] = ()


def no_such_unit(fields):
    return {"unit_id": ["There is no such unit."]} if "unit_id" in fields else {}


def test_sent_values_are_read_trimmed_with_their_defaults():
    assert SentValues({"name": " Seaside "}, Move).read() == Move(name="Seaside")


def test_guards_see_every_field_that_was_sent_trimmed_as_it_will_be_read():
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


def test_every_bad_field_is_named_and_so_is_what_is_wrong_with_the_others():
    sent = SentValues({"name": "", "unit_id": "u1"}, Move)

    with pytest.raises(Invalid) as refused:
        sent.read(no_such_unit)

    assert refused.value.details == {
        "name": ["The name field must not be empty."],
        "unit_id": ["There is no such unit."],
    }


def test_problems_are_looked_for_in_the_valid_fields_alone():
    seen = []

    def remember(fields):
        seen.append(fields)
        return {}

    with pytest.raises(Invalid):
        SentValues({"name": " a ", "unit_id": 1, "tags": ["x", 2]}, Move).read(remember)
    SentValues({"name": " a ", "unit_id": " u1 "}, Move).read(remember)

    assert seen == [{"name": "a"}, {"name": "a", "unit_id": "u1"}]


def test_a_field_of_the_wrong_form_is_not_named_twice():
    with pytest.raises(Invalid) as refused:
        SentValues({"name": 1}, Move).read(lambda fields: {"name": ["Unknown."], "tags": ["Too few."]})

    assert refused.value.details == {"name": ["The name field must be a string."], "tags": ["Too few."]}


def test_valid_values_have_the_fields_that_are_set_and_are_read_as_they_are():
    move = Move(name="Seaside")

    assert ValidValues(move).fields == {"name": "Seaside", "tags": ()}
    assert ValidValues(move).read() is move
    with pytest.raises(Invalid):
        ValidValues(Move(name="Seaside", unit_id="u1")).read(no_such_unit)
