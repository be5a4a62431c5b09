"""Fixtures for tests that need PostgreSQL. Each test has its own database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, Pool, connect, make_pool
from tests.support.commands import MASTER_KEY
from tests.support.kafka_fixture import kafka, kafka_prefix, kafka_server  # noqa: F401 - fixtures
from tests.support.postgres import cloned_database, drop_database, make_template, running_server
from tests.support.vault import VAULT

KAFKA_FIXTURES = {"kafka", "kafka_server"}
LONGEST = "test_chaos.py"
os.environ["MASTER_KEY"] = MASTER_KEY  # for this process and the processes that it starts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the chaos rig and files that need Kafka first, because they limit the duration of the run."""
    slow = {item.path for item in items if KAFKA_FIXTURES & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: (item.path.name != LONGEST, item.path not in slow))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of the maintenance database of the session's server."""
    with running_server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """The name of the migrated database that `database` clones."""
    name = make_template(postgres)
    yield name
    drop_database(postgres, name)


@pytest.fixture
def database(postgres: str, template: str) -> Iterator[str]:
    """The DSN of an empty, migrated database with read tables, for this test only."""
    with cloned_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def conn(database: str) -> Iterator[Connection]:
    """A connection in autocommit mode."""
    with connect(database, application="tests") as connection:
        yield connection


@pytest.fixture
def pool(database: str) -> Iterator[Pool]:
    with make_pool(database, application="tests", max_size=8) as opened:
        yield opened


@pytest.fixture
def store(pool: Pool) -> EventStore:
    return EventStore(pool, VAULT)


@pytest.fixture
def catch_up(database: str) -> Iterator[Callable[[], None]]:
    """A function that projects everything up to the end of the log."""
    from projections.runner import catch_up as project_a_batch
    from projections.runner import connect_projector

    with connect_projector(database) as connection:

        def project_all() -> None:
            while project_a_batch(connection, VAULT):
                pass

        yield project_all
