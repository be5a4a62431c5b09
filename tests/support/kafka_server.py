"""A real Apache Kafka for tests: one small KRaft node on loopback with its own log directory."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.support.proxy import Proxy
from tests.support.server import lasting_ports

POM = Path(__file__).parent / "kafka" / "pom.xml"
DOWNLOAD_SECONDS = 600
START_SECONDS = 120
STOP_SECONDS = 60
HEAP = "-Xmx512m"
CLUSTER_ID = "dGlja2V0aW5nLXRlc3RzLTE"  # any 16 bytes in base64
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class KafkaUnavailable(Exception):
    """Kafka cannot run on this machine. The message becomes the reason for skipping the test."""


class KafkaServer:
    """A node that can be stopped, killed and started again with the same folder and port."""

    start_seconds = START_SECONDS

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port, self._controller_port, self._inner_port, self.proxy_port = lasting_ports(4)
        self._process: subprocess.Popen[bytes] | None = None
        self._classpath = f"{jars()}/*"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "server.properties").write_text(self._properties())
        self._run_tool("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties")

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def inner_address(self) -> str:
        """The address to which a proxy on `proxy_port` forwards; Kafka announces that of the proxy there."""
        return f"host=127.0.0.1 port={self._inner_port}"

    def proxy(self) -> KafkaProxy:
        """A proxy in front of this node, to simulate network faults."""
        return KafkaProxy(self._inner_port, self.proxy_port)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the node and wait until it answers requests."""
        self.launch()
        self.wait_until_serving()

    def launch(self) -> None:
        """Start the process. It ends with the thread that calls this."""
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", "server.properties"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )

    def wait_until_serving(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.start_seconds
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Kafka did not start: {self._end_of_log()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Shut down cleanly; kill the node if that takes longer than STOP_SECONDS."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process, with its connections open, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _serves(self) -> bool:
        if not _accepts(self._port):
            return False
        with suppress(KafkaError, OSError):
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, bootstrap_timeout_ms=2_000)
            try:
                return bool(admin.describe_cluster()["brokers"])
            finally:
                admin.close()
        return False

    def _java(self) -> list[str]:
        return [
            *("java", HEAP, "-Xms128m", "-XX:+UseSerialGC"),
            "-XX:TieredStopAtLevel=1",  # it runs too briefly for the optimizing compiler to pay off
            *("-Dlog4j2.level=WARN", "-cp", self._classpath),
        ]

    def _run_tool(self, *arguments: str) -> None:
        command = [*self._java(), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{arguments[0]} failed: {done.stdout}{done.stderr}")

    def _properties(self) -> str:
        return _PROPERTIES.format(
            port=self._port,
            controller_port=self._controller_port,
            inner_port=self._inner_port,
            proxy_port=self.proxy_port,
            logs=self.folder / "logs",
        )

    def _end_of_log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-3_000:]


class KafkaProxy(Proxy):
    """Closes connections that send records while `takes_records` is false, and forwards everything else.
    This simulates a broker that refuses records while its coordinator still commits transactions."""

    def __init__(self, inner_port: int, proxy_port: int) -> None:
        super().__init__(f"host=127.0.0.1 port={inner_port}", port=proxy_port)
        self.bootstrap_servers = f"127.0.0.1:{proxy_port}"
        self.takes_records = True

    def _lose_if_requested(self, chunk: bytes, client: socket.socket, server: socket.socket) -> bool:
        return not self.takes_records and _PRODUCE in _api_keys(chunk)


def _api_keys(chunk: bytes) -> list[int]:
    """The API keys of the requests in a chunk. A request is its size (4 bytes), its API key, and more."""
    keys, start = [], 0
    while start + 6 <= len(chunk):
        size, key = struct.unpack_from(">ih", chunk, start)
        keys.append(key)
        start += 4 + max(size, 2)
    return keys


_PRODUCE = 0  # the API key, https://kafka.apache.org/protocol
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{inner_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy_port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
default.replication.factor=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=10485760
log.cleaner.threads=1
log.index.size.max.bytes=1048576
num.io.threads=4
num.network.threads=2
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
"""


def jars() -> Path:
    """The folder of Kafka's jars. The first call on a machine downloads them with Maven into a cache."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaUnavailable(f"Kafka needs {program}, which is not on the PATH.")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticketing"
    folder = cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as partial:
            _download(Path(partial) / "jars")
            with suppress(OSError):  # another process has just downloaded them
                (Path(partial) / "jars").rename(folder)
    return folder


def _download(folder: Path) -> None:
    command = ["mvn", "--batch-mode", "--quiet", "-f", str(POM), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, f"-Djars={folder}"], capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
    )
    if done.returncode != 0:
        raise KafkaUnavailable(f"Maven could not download Kafka: {(done.stdout + done.stderr)[-1_000:]}")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_with_parent() -> None:
    """Make the kernel kill this child when the test process ends. Works on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
