"""Merging a form with what others have changed since it was shown, against an in-memory log."""

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
    ("before", "sent", "now", "merged", "is_asked"),
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
def test_a_text_stays_as_it_is_now_unless_the_form_changes_it(before, sent, now, merged, is_asked):
    form = Form([] if sent is None else [("x", sent)])

    edit = merge({} if before is None else {"x": before}, form, {"x": now}, 7)

    assert edit.values == {"x": merged}
    assert edit.changed == ({} if merged == now else {"x": merged})
    assert edit.conflicts == ({"x": now} if is_asked else {})


@pytest.mark.parametrize(
    ("before", "sent", "now", "merged", "is_asked"),
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
def test_each_tick_of_a_list_is_merged_by_itself(before, sent, now, merged, is_asked):
    form = Form([] if sent is None else [("x", ""), *(("x", value) for value in sent)])

    edit = merge({} if before is None else {"x": list(before)}, form, {"x": list(now)}, 7)

    assert edit.values == {"x": list(merged)}
    assert edit.conflicts == ({"x": list(now)} if is_asked else {})


def test_a_change_in_between_is_merged_too(store):
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


def test_where_every_try_meets_another_change_nothing_is_saved(store):
    tries = []

    def change(edit):
        tries.append(edit.version)
        rename(store, f"House {edit.version}")
        return rename(store, "Mine", edit.version)

    with pytest.raises(Conflict):
        save_edit(lambda: read_edit(store, Property, "p1", Form([]), place_values), change)

    assert len(tries) == MAX_DECISIONS
    assert store.load(Property, "p1").name == f"House {tries[-1]}"


def test_an_edit_with_conflicts_is_not_saved(store):
    stale = Form([("name", "Mine"), ("version", "1")])
    rename(store, "Theirs")

    with pytest.raises(PreconditionFailed):
        save_edit(lambda: read_edit(store, Property, "p1", stale, place_values), pytest.fail)


@pytest.mark.parametrize("version", [-1, 0, 3, 10**17])
def test_there_is_no_aggregate_at_a_version_it_never_had(store, version):
    rename(store, "Hill House")

    assert [store.at_version(Property, "p1", each).name for each in (1, 2)] == ["Seaside", "Hill House"]
    assert store.at_version(Property, "p1", version) is None


def test_a_form_has_no_field_of_another():
    form = ShownForm({"text": ""}, errors={"status": ["Choose one."], "text": ["Write one."]})

    with pytest.raises(KeyError):
        form.value("status")
    assert form.errors == {"": ["Choose one."], "text": ["Write one."]}


def test_what_a_form_holds_can_always_be_chosen():
    form = ShownForm({"role": "admin", "places": ["p1", "p9"], "empty": ""})

    assert form.options("role", [("staff", "Staff")]) == [("staff", "Staff"), ("admin", "admin")]
    assert form.options("places", [("p1", "One")]) == [("p1", "One"), ("p9", "p9")]
    assert form.options("empty", []) == []
