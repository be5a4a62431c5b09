"""The system on two hosts, behind nginx: every process twice, and a pair of PostgreSQL servers."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.installation import PREFIX
from tests.chaos.servers import nginx
from tests.chaos.units import Keeper, family_of, send
from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.replication import Pair
from tests.support.server import lasting_ports

PROCESSES = ("api", "projector", "relay", "webhook-dispatcher", "notary")
STOP_SECONDS = 60


class Process:
    """A process of the product, which a Keeper starts again."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.name = command[0]
        self._command = command
        self._environ = environ
        self._log = log
        self._process: TicketingProcess | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        self._process = TicketingProcess(*self._command, environ=self._environ, stdout=self._log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)


class Host:
    """Every process on one host, with its own home. `attachments` is a folder that both hosts mount."""

    def __init__(self, home: Path, attachments: Path, port: int, variables: dict[str, str]) -> None:
        home.mkdir()
        (home / "attachments").symlink_to(attachments)
        self.home = home
        self.base_url = f"http://127.0.0.1:{port}"
        environ = environment(**variables, PORT=str(port), TICKETING_HOME=str(home))
        self.keepers = {name: Keeper(Process([name], environ, home / f"{name}.log")) for name in PROCESSES}

    def start(self) -> None:
        for keeper in self.keepers.values():
            keeper.start()

    def kill(self, name: str) -> None:
        """kill -9 the process and its children. Its keeper starts it again, unless it is held."""
        send(family_of(self.keepers[name].unit.pid), signal.SIGKILL)

    def last_logged(self, event: str) -> str:
        """The time of the last entry with that name in the logs of this host; empty if there is none."""
        lines = [line for log in self.home.glob("*.log") for line in log.read_text().splitlines()]
        times = [json.loads(line)["timestamp"] for line in lines if f'"event":"{event}"' in line]
        return max(times, default="")

    def close(self) -> None:
        for keeper in self.keepers.values():
            keeper.close()


class Cluster:
    """Two hosts. All of them read from the standby of the pair, if it has what they need."""

    def __init__(self, pair: Pair, database: str, home: Path, kafka: str, receiver_url: str) -> None:
        self.pair = pair
        self.home = home
        self.kafka_servers_of_tests = kafka
        self.dsn = pair.dsn(database, "read-write")
        self._receiver_url = receiver_url
        self._nginx_port, *ports = lasting_ports(3)
        self.base_url = f"http://127.0.0.1:{self._nginx_port}"
        (home / "attachments").mkdir()
        variables = {
            "DATABASE_URL": self.dsn,
            "READ_DATABASE_URL": pair.dsn(database, "prefer-standby"),
            "BASE_URL": self.base_url,
            "TRUSTED_PROXIES": "127.0.0.0/8",
            "WORKERS": "1",
            "THREADS": "8",
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_PREFIX": PREFIX,
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
            "WEBHOOK_TIMEOUT_SECONDS": "2",
            "WEBHOOK_RETRY_SECONDS": ",".join(["0.5"] * 40),
        }
        self.hosts = [
            Host(home / f"host-{number}", home / "attachments", port, variables)
            for number, port in enumerate(ports)
        ]
        self._nginx = nginx(
            home / "nginx", port=self._nginx_port, api_port=ports[0], other_api_ports=ports[1:]
        )

    def start(self) -> None:
        for host in self.hosts:
            host.start()
        self._nginx.start()

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        self._nginx.stop()

    def receiver_url(self, path: str) -> str:
        return self._receiver_url + path

    def leader_of(self, name: str) -> Host:
        """The host whose process of that name leads: the one that has logged it last."""
        found = [(host.last_logged(f"{name}_leads"), host) for host in self.hosts]
        return max(found, key=lambda pair: pair[0])[1]
