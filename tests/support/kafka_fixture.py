"""Fixtures of the tests that need Kafka: a server for the session, and names of its own for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.kafka_server import KafkaServer, KafkaUnavailable

_numbers = count(1)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap servers of a Kafka: KAFKA_BOOTSTRAP_SERVERS, or a node for this session."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    server = _started(tmp_path_factory.mktemp("kafka"))
    yield server.bootstrap_servers
    server.stop()


@pytest.fixture
def kafka_server(tmp_path: Path) -> Iterator[KafkaServer]:
    """A node for this test alone, which it may kill and restart."""
    server = _started(tmp_path / "kafka")
    yield server
    server.stop()


@pytest.fixture
def kafka_prefix() -> str:
    """What this test's topics and transactional id begin with."""
    return f"test-{os.getpid()}-{next(_numbers)}"


def _started(folder: Path) -> KafkaServer:
    try:
        server = KafkaServer(folder)
    except KafkaUnavailable as reason:
        pytest.skip(str(reason))
    server.start()
    return server
