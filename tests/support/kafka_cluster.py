"""Three Kafka nodes on loopback, with three replicas of each partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaAdminClient

from tests.support.kafka_server import START_SECONDS, KafkaServer
from tests.support.server import lasting_ports
from tests.support.waiting import eventually

NODES = 3
_REPLICATED = """\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
initial.broker.registration.timeout.ms=300000
broker.session.timeout.ms=6000
controller.quorum.election.timeout.ms=3000
controller.quorum.fetch.timeout.ms=6000
"""


class Node(KafkaServer):
    """One of the nodes. Later lines of its settings replace those of a single node."""

    start_seconds = 3 * START_SECONDS  # it waits for another one

    def __init__(self, folder: Path, number: int, controller_ports: Sequence[int]) -> None:
        self._number = number
        self._controller_ports = controller_ports
        super().__init__(folder)

    def _properties(self) -> str:
        voters = [f"{number}@127.0.0.1:{port}" for number, port in enumerate(self._controller_ports, start=1)]
        return (
            f"{super()._properties()}{_REPLICATED}node.id={self._number}\n"
            f"controller.quorum.voters={','.join(voters)}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{self._port},PROXIED://127.0.0.1:{self._inner_port},"
            f"CONTROLLER://127.0.0.1:{self._controller_ports[self._number - 1]}\n"
        )


class KafkaCluster:
    """The nodes, of which one may be down."""

    def __init__(self, folder: Path) -> None:
        ports = lasting_ports(NODES)
        with ThreadPoolExecutor(NODES) as executor:
            made = executor.map(lambda n: Node(folder / f"kafka-{n}", n, ports), range(1, NODES + 1))
            self.nodes = list(made)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self) -> None:
        """Start all nodes at once: each waits until a majority runs."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_serving()

    def wait_until_replicated(self, topics: Sequence[str], within: float) -> None:
        """Wait until every replica of the topics is in sync."""
        eventually(lambda: self._is_replicated(topics), within, message="replicas are not in sync")

    def stop(self) -> None:
        with ThreadPoolExecutor(NODES) as executor:
            list(executor.map(Node.stop, self.nodes))

    def _is_replicated(self, topics: Sequence[str]) -> bool:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            found = admin.describe_topics(list(topics))
        finally:
            admin.close()
        return all(len(part["isr_nodes"]) == NODES for topic in found for part in topic["partitions"])


@contextmanager
def running_cluster(folder: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(folder)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
