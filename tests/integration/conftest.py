"""Fixtures for tests of pages (a database with two people who have passwords) and of the event store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from falcon.testing import TestClient

from domain.access import Role
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool, make_pool
from projections.runner import catch_up, connect_projector
from server.app import create_app
from tests.support.api import services_on
from tests.support.arrange import register_user
from tests.support.browser import give_password
from tests.support.keys import operator
from tests.support.pages import Desk, Page
from tests.support.postgres import cloned_database
from tests.support.reads import count_results
from tests.support.vault import VAULT

PEOPLE: tuple[tuple[str, Role, str], ...] = (("max", "manager", "Max <script>"), ("ada", "admin", "Ada"))


@pytest.fixture(scope="session")
def database_with_people(postgres: str, template: str) -> Iterator[str]:
    """The name of a database with Max (a manager without properties) and Ada (an admin), who can sign in.

    No connection to it is open, so that it can be cloned.
    """
    with cloned_database(postgres, template) as dsn:
        with make_pool(dsn, application="tests", max_size=2) as pool:
            store = EventStore(pool, VAULT)
            for user_id, role, name in PEOPLE:
                register_user(
                    store, user_id, operator(), name=name, email=f"{user_id}@example.com", role=role
                )
                give_password(store, user_id)
        with connect_projector(dsn) as conn:
            while catch_up(conn, VAULT):
                pass
        yield psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]


@pytest.fixture
def desk(database: str, tmp_path: Path) -> Iterator[TestClient]:
    """A client of an application that also serves the page /admin/desk."""
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services, (("/admin/desk", Desk),)))


@pytest.fixture
def page(desk: TestClient) -> Page:
    return Page(desk)


@pytest.fixture
def other_store(pool: Pool) -> EventStore:
    """The store of another process."""
    return EventStore(pool, VAULT)


@pytest.fixture
def row_counts(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which each read of the store appends the number of events that it has read."""
    counts: list[int] = []
    count_results(store.recorder, "select_states", counts, monkeypatch)
    count_results(store.recorder, "select_backwards", counts, monkeypatch)
    count_results(store._snapshots._stored, "read", counts, monkeypatch)
    return counts
