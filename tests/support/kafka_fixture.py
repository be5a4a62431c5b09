"""Fixtures for tests that need Kafka: one server for the run, and a unique topic prefix for each test."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.kafka_server import KafkaServer, KafkaUnavailable
from tests.support.waiting import eventually

OTHER_WORKERS_SECONDS = 1_800
_numbers = count(1)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """KAFKA_BOOTSTRAP_SERVERS, or the bootstrap servers of one node that all workers of the run share."""
    if configured := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield configured
        return
    folder = tmp_path_factory.getbasetemp()
    with _shared(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as servers:
        yield servers


@pytest.fixture(scope="module")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A node for the tests of one module. They may kill or freeze it, and must leave it running."""
    server = _start_server(tmp_path_factory.mktemp("kafka-server"))
    yield server
    server.stop()


@pytest.fixture
def kafka_prefix() -> str:
    """The prefix of this test's topics and transactional id."""
    return f"test-{os.getpid()}-{next(_numbers)}"


@contextmanager
def _shared(folder: Path) -> Iterator[str]:
    """The node shared by all processes that use this folder. The first process starts it, and stops it when
    no other process uses it."""
    server: KafkaServer | None = None
    with _state(folder) as state:
        if not state:
            server = _start_server(folder / f"kafka-{os.getpid()}")
            state.update(servers=server.bootstrap_servers, users=0)
        state["users"] += 1
        servers = state["servers"]
    try:
        yield servers
    finally:
        with _state(folder) as state:
            state["users"] -= 1
        if server is not None:
            eventually(lambda: _is_unused(folder), OTHER_WORKERS_SECONDS)
            server.stop()


def _is_unused(folder: Path) -> bool:
    """Whether no process uses the node. If so, clears the state: a later process starts a new node."""
    with _state(folder) as state:
        if state["users"] == 0:
            state.clear()
        return not state


@contextmanager
def _state(folder: Path) -> Iterator[dict[str, Any]]:
    """The state that the processes of this run share, locked inside the block."""
    with (folder / "kafka.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        try:
            yield state
        finally:
            file.truncate(0)
            file.write(json.dumps(state))


def _start_server(folder: Path) -> KafkaServer:
    try:
        server = KafkaServer(folder)
    except KafkaUnavailable as error:
        pytest.skip(str(error))
    server.start()
    return server
