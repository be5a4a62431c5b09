"""Merging a form with the changes that others made after it was shown."""

import pytest

from api.http.forms import Form
from commands.deciding import MAX_DECISIONS
from domain.errors import Conflict, PreconditionFailed
from domain.property import Property
from infrastructure.storage.event_store import EventStore
from pages.common.shown_form import ShownForm
from pages.panel.editing import merge, read_edit, save_edit
from pages.panel.places import place_values
from tests.support.arrange import change_property, register_property
from tests.unit.builders import context


@pytest.fixture
def store():
    store = EventStore()
    register_property(store, "p1", context(), name="Seaside")
    return store


def rename(store, name, version=None):
    expected = None if version is None else frozenset((version,))
    return change_property(store, "p1", context(), expected, name=name)


@pytest.mark.parametrize(
    ("before", "sent", "now", "merged", "is_conflict"),
    [
        ("a", "a", "a", "a", False),
        ("a", "a", "b", "b", False),
        ("a", "b", "a", "b", False),
        ("a", "b", "b", "b", False),
        ("a", "b", "c", "b", True),
        ("a", "", "a", "", False),
        ("a", "", "b", "", True),
        ("", "", "b", "b", False),
        ("a", " a ", "b", "b", False),
        ("a\nb", "ab", "c", "c", False),
        ("a", None, "b", "b", False),
        (None, "a", "a", "a", False),
        (None, "a", "b", "a", True),
        (None, None, "b", "b", False),
    ],
)
def test_a_field_has_its_current_value_unless_the_form_changes_it(before, sent, now, merged, is_conflict):
    form = Form([] if sent is None else [("x", sent)])

    edit = merge({} if before is None else {"x": before}, form, {"x": now}, 7)

    assert edit.values == {"x": merged}
    assert edit.changed == ({} if merged == now else {"x": merged})
    assert edit.conflicts == ({"x": now} if is_conflict else {})


@pytest.mark.parametrize(
    ("before", "sent", "now", "merged", "is_conflict"),
    [
        ("ab", "ba", "ab", "ab", False),
        ("ab", "ab", "ba", "ba", False),
        ("ab", "abc", "abd", "abdc", False),
        ("abc", "ab", "bc", "b", False),
        ("ab", "", "abc", "c", False),
        ("ab", "abc", "bca", "bca", False),
        ("ab", None, "c", "c", False),
        (None, "ab", "ba", "ba", False),
        (None, "a", "ab", "a", True),
    ],
)
def test_each_item_of_a_list_is_merged_separately(before, sent, now, merged, is_conflict):
    form = Form([] if sent is None else [("x", ""), *(("x", value) for value in sent)])

    edit = merge({} if before is None else {"x": list(before)}, form, {"x": list(now)}, 7)

    assert edit.values == {"x": list(merged)}
    assert edit.conflicts == ({"x": list(now)} if is_conflict else {})


def test_a_change_made_while_the_form_is_saved_is_merged(store):
    values = {**place_values(store.load(Property, "p1")), "city": "Otherwhere", "version": "1"}
    sent = Form(list(values.items()))
    others = iter(["Hill House"])

    def read():
        return read_edit(store, Property, "p1", sent, place_values)

    def change(edit):
        for name in others:
            rename(store, name)
        return rename(store, edit.values["name"] + ", " + edit.values["city"], edit.version)

    assert save_edit(read, change).name == "Hill House, Otherwhere"


def test_nothing_is_saved_when_every_attempt_meets_another_change(store):
    attempts = []

    def change(edit):
        attempts.append(edit.version)
        rename(store, f"House {edit.version}")
        return rename(store, "Mine", edit.version)

    with pytest.raises(Conflict):
        save_edit(lambda: read_edit(store, Property, "p1", Form([]), place_values), change)

    assert len(attempts) == MAX_DECISIONS
    assert store.load(Property, "p1").name == f"House {attempts[-1]}"


def test_an_edit_with_conflicts_is_not_saved(store):
    stale = Form([("name", "Mine"), ("version", "1")])
    rename(store, "Theirs")

    with pytest.raises(PreconditionFailed):
        save_edit(lambda: read_edit(store, Property, "p1", stale, place_values), pytest.fail)


@pytest.mark.parametrize("version", [-1, 0, 3, 10**17])
def test_at_version_returns_none_for_a_version_that_does_not_exist(store, version):
    rename(store, "Hill House")

    assert [store.at_version(Property, "p1", each).name for each in (1, 2)] == ["Seaside", "Hill House"]
    assert store.at_version(Property, "p1", version) is None


def test_an_error_of_a_field_that_the_form_lacks_is_shown_for_the_whole_form():
    form = ShownForm({"text": ""}, errors={"status": ["Choose one."], "text": ["Write one."]})

    with pytest.raises(KeyError):
        form.value("status")
    assert form.errors == {"": ["Choose one."], "text": ["Write one."]}


def test_the_current_value_of_a_field_is_always_an_option():
    form = ShownForm({"role": "admin", "places": ["p1", "p9"], "empty": ""})

    assert form.options("role", [("staff", "Staff")]) == [("staff", "Staff"), ("admin", "admin")]
    assert form.options("places", [("p1", "One")]) == [("p1", "One"), ("p9", "p9")]
    assert form.options("empty", []) == []
