"""Changing an aggregate: the result, repeated commands, lost races and refusals."""

import pytest

from commands.deciding import MAX_DECISIONS, change
from domain.errors import Conflict, NotFound
from domain.property import Property
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import change_property, register_property
from tests.unit.builders import context


@pytest.fixture
def store():
    store = EventStore()
    register_property(store, "p1", context(), name="Seaside")
    return store


def rename(store, name, command, before_saving=lambda: None):
    """Rename p1: `name` computes the new name from the present one."""

    def decide(managed):
        managed.change({"name": name(managed.name)}, command)
        before_saving()

    return change(store, "p1", command, lambda: store.load(Property, "p1"), decide)


def test_a_change_is_saved(store):
    renamed = rename(store, str.upper, context())

    assert store.load(Property, "p1").name == renamed.name == "SEASIDE"
    assert renamed.version == 2


def test_an_absent_aggregate_is_refused_before_the_decision(store):
    def decide(managed):
        raise AssertionError("decided although nothing was found")

    with pytest.raises(NotFound):
        change(store, "p2", context(), lambda: store.load(Property, "p2"), decide)


def test_a_repeated_command_returns_its_first_result_and_decides_nothing(store):
    rename(store, str.upper, context(command_id="c-1"))
    change_property(store, "p1", context(), name="Other")

    again = rename(store, str.lower, context(command_id="c-1", is_retry=True))

    assert (again.name, again.version) == ("SEASIDE", 2)
    assert store.load(Property, "p1").name == "Other"


def test_a_command_that_loses_a_race_decides_again_on_the_new_state(store):
    rivals = iter(["Beach"])

    def lose_once():
        for rival in rivals:
            change_property(store, "p1", context(), name=rival)

    assert rename(store, str.upper, context(), lose_once).name == "BEACH"


def test_a_command_that_loses_every_race_is_a_conflict(store):
    rivals = iter([f"Rival {number}" for number in range(MAX_DECISIONS)])

    with pytest.raises(Conflict, match="Other requests are changing this"):
        rename(
            store, str.upper, context(), lambda: change_property(store, "p1", context(), name=next(rivals))
        )
    assert next(rivals, None) is None


def test_a_refused_change_saves_nothing(store):
    def refuse():
        raise Conflict("no")

    with pytest.raises(Conflict):
        rename(store, str.upper, context(), refuse)
    assert store.load(Property, "p1").version == 1
