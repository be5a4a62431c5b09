"""Imports while others import the same, or change what is imported: nothing is lost, doubled or an error."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from api.http.import_files import read_item
from commands.import_items import Importer
from commands.imports import import_items
from domain.errors import Conflict
from domain.property import Property
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from tests.support.arrange import change_property, change_ticket, register_property, register_user
from tests.support.keys import operator
from tests.support.vault import VAULT

IMPORTS, UNITS, TICKETS, RENAMES = 4, 30, 30, 40
HOLDERS = "SELECT kind, external_id, object_id FROM access.external_ids WHERE source = 'sap'"
TIME = "2019-05-04T09:30:00Z"


def importer():
    return Importer(operator(), "sap")


def unit(number):
    facts = {"external_id": f"U{number}", "property": "p1", "name": f"Unit {number}"}
    return read_item({"kind": "unit", **facts})


def ticket(number):
    facts = {"external_id": f"T{number}", "title": f"Ticket {number}", "created_at": TIME}
    return read_item({**facts, "property": "p1", "requester": "u1"})


def person(number):
    return read_item({"kind": "user", "external_id": f"P{number}", "name": "N", "email": f"{number}@x.test"})


@pytest.fixture
def stores(database):
    """The stores of processes of their own; the first has a property and a person."""
    with make_pool(database, application="tests", max_size=2 * IMPORTS + 2) as pool:
        stores = [EventStore(pool, VAULT) for _ in range(IMPORTS + 1)]
        register_property(stores[0], "p1", operator())
        register_user(stores[0], "u1", operator(), property_ids=("p1",))
        yield stores


def test_imports_of_the_same_objects_in_other_orders_while_others_change_them(stores, conn):
    items = [make(number) for number in range(UNITS) for make in (unit, ticket, person)]
    first, *others = stores
    together = Barrier(IMPORTS + 1, timeout=60)

    def import_all(store, step):
        together.wait()
        return import_items(store, items[::step], importer())[0]

    def change_all(store):
        together.wait()
        renamed, titled = [], {}
        for number in range(RENAMES):
            try:
                change_property(store, "p1", operator(), name=f"Name {number}")
                renamed.append(f"Name {number}")
            except Conflict:
                pass
            for kind, external_id, object_id in conn.execute(HOLDERS).fetchall():
                if kind == "ticket" and external_id not in titled:
                    change_ticket(store, object_id, operator(), title=f"Changed {external_id}")
                    titled[external_id] = object_id
        return renamed, titled

    with ThreadPoolExecutor(IMPORTS + 1) as threads:
        changed = threads.submit(change_all, first)
        imports = [
            threads.submit(import_all, store, step)
            for store, step in zip(others, (1, -1, 1, -1), strict=True)
        ]
        results = [each.result() for each in imports]
        renamed, titled = changed.result()

    assert all(
        isinstance(one, Conflict) or one in ("created", "unchanged") for each in results for one in each
    )
    again, _ = import_items(first, items, importer())
    assert set(again) <= {"created", "unchanged"}
    assert sum(each.count("created") for each in (*results, again)) == len(items)
    holders = [object_id for *_, object_id in conn.execute(HOLDERS)]
    assert len(holders) == len(set(holders)) == len(items)
    place = first.load(Property, "p1")
    assert sorted(place.units.values()) == sorted(f"Unit {number}" for number in range(UNITS))
    names = [event.name for event in first.read_events("p1", 1, place.version) if hasattr(event, "name")]
    assert [name for name in names if name.startswith("Name")] == renamed
    assert all(first.load(Ticket, key).title == f"Changed {name}" for name, key in titled.items())


class Hurried(EventStore):
    """A store whose property another process renames whenever it has been read."""

    def __init__(self, store, other):
        self.__dict__.update(store.__dict__)
        self._other = other

    def find(self, kind, aggregate_id):
        found = super().find(kind, aggregate_id)
        if kind is Property:
            change_property(self._other, aggregate_id, operator(), name=f"Name {found.version}")
        return found


def test_an_item_that_others_keep_changing_is_refused_and_the_others_are_imported(stores):
    store = Hurried(*stores[:2])

    results, position = import_items(store, [ticket(1), unit(1), ticket(2)], importer())

    assert (results[0], results[2]) == ("created", "created")
    assert isinstance(results[1], Conflict)
    assert stores[1].load(Property, "p1").units == {}
    assert import_items(stores[1], [unit(1), ticket(1)], importer())[0] == ["created", "unchanged"]
    assert position > 0
