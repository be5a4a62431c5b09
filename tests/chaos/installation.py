"""The system as an operator runs it: nginx, the product's processes, PgBouncer, PostgreSQL and Kafka."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

import psutil
from psycopg.conninfo import make_conninfo

from tests.chaos.clock import Clock
from tests.chaos.disk import GIGABYTE, Disk
from tests.chaos.network import Network
from tests.chaos.servers import KafkaUnit, PostgresUnit, nginx
from tests.chaos.units import Keeper, Program, Unit, family_of
from tests.support.commands import TICKETING, environment, ticketing
from tests.support.pgbouncer import configure
from tests.support.server import lasting_ports

Kind = Literal["separate", "up"]
PROCESSES = ("api", "projector", "relay", "webhook-dispatcher", "notary")
PREFIX = "chaos"
MIGRATE_SECONDS = 120


class HasPort(Protocol):
    @property
    def port(self) -> int: ...


class Installation:
    """Every unit is kept running. `networks` has the ways to servers that can be cut, by their names."""

    def __init__(self, kind: Kind, receiver: HasPort, *, workers: int) -> None:
        self.kind = kind
        self.home = Path(tempfile.mkdtemp(prefix="ticketing-chaos-"))
        self.home.chmod(0o755)
        self.keepers: dict[str, Keeper] = {}
        self.networks: dict[str, Network] = {}
        self.disk = Disk(self.home / "disk", 6 * GIGABYTE)
        self.product_home = self.disk.folder / "home" if kind == "separate" else self.disk.folder
        self.kafka_disk = Disk(self.home / "kafka-disk", 4 * GIGABYTE)
        self.clock = Clock(self.home)
        self._api_port, self._nginx_port = lasting_ports(2)
        kafka = self._kafka = KafkaUnit(self.kafka_disk.folder / "kafka")
        self._keep(kafka)
        self.networks["kafka"] = Network(kafka.server.inner_address, port=kafka.server.proxy_port)
        self.kafka_servers = f"127.0.0.1:{kafka.server.proxy_port}"
        self.kafka_servers_of_tests = kafka.server.bootstrap_servers
        self.networks["receiver"] = Network(f"host=127.0.0.1 port={receiver.port}")
        self._variables = {
            **self.clock.variables(),
            "PORT": str(self._api_port),
            "WORKERS": str(workers),
            "THREADS": "8",
            "BASE_URL": self.base_url,
            "TRUSTED_PROXIES": "127.0.0.0/8",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_servers,
            "KAFKA_PREFIX": PREFIX,
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
            "WEBHOOK_TIMEOUT_SECONDS": "2",
            "WEBHOOK_RETRY_SECONDS": ",".join(["0.5"] * 40),
            "CHECKPOINT_MINUTES": "1",
            "LOG_LEVEL": "INFO",
        }
        (self._start_separate if kind == "separate" else self._start_up)()
        self.networks["api"] = Network(f"host=127.0.0.1 port={self._api_port}")
        self._keep(
            nginx(self.disk.folder / "nginx", port=self._nginx_port, api_port=self.networks["api"].port)
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._nginx_port}"

    def receiver_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.networks['receiver'].port}{path}"

    @property
    def starts(self) -> dict[str, int]:
        """How often each unit was started."""
        return {name: keeper.starts for name, keeper in self.keepers.items()}

    def processes(self, target: str) -> list[psutil.Process]:
        """The process with that name, and its descendants; none if it does not run. A worker or a session of
        PostgreSQL is asked for with the name of its master and `_workers`, and comes alone."""
        master, _, is_worker = target.partition("_worker")
        family = family_of(self._pid_of(master))
        if not is_worker:
            return family
        return [process for process in family[1:] if master != "postgres" or _is_session(process)]

    def close(self) -> None:
        for keeper in reversed(self.keepers.values()):
            keeper.close()
        for network in self.networks.values():
            network.close()
        for disk in (self.disk, self.kafka_disk):
            disk.close()

    def mend_kafka(self) -> bool:
        """Kill a broken Kafka, which is then started again, as an operator does. Returns whether it was."""
        is_broken = self._kafka.is_broken()
        if is_broken:
            self._kafka.server.kill()
        return is_broken

    def log_of(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _pid_of(self, name: str) -> int | None:
        if name in self.keepers:
            return self.keepers[name].unit.pid
        if name == "postgres":
            with suppress(OSError, ValueError, IndexError):
                return int((self.disk.folder / "postgres" / "postmaster.pid").read_text().split()[0])
        for process in family_of(self.keepers["up"].unit.pid)[1:]:
            with suppress(psutil.Error):
                if process.cmdline()[-1:] == [name]:
                    return process.pid
        return None

    def _keep(self, unit: Unit) -> None:
        keeper = Keeper(unit)
        self.keepers[unit.name] = keeper
        keeper.start()

    def _start_separate(self) -> None:
        postgres = PostgresUnit(self.disk.folder / "postgres")
        self._keep(postgres)
        self.dsn = postgres.dsn()
        for name in ("pooled", "direct"):
            self.networks[name] = Network(postgres.address)
        pooled, direct = (self._address_through(name) for name in ("pooled", "direct"))
        folder = self.home / "pgbouncer"
        folder.mkdir()
        pooler = configure(folder, pooled, "transaction", more="server_login_retry = 1")
        command = [part for part in pooler.command if part != "-q"]
        self._keep(Program("pgbouncer", command, {}, self.log_of("pgbouncer"), **pooler.account))
        variables = environment(
            **self._variables,
            DATABASE_URL=pooler.address,
            DIRECT_DATABASE_URL=direct,
            MIGRATE_DATABASE_URL=self.dsn,
            TICKETING_HOME=str(self.product_home),
            POSTGRES_DATA_DIR=str(postgres.data_dir),
        )
        self.product_home.mkdir()
        done = ticketing("migrate", environ=variables, limit_seconds=MIGRATE_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"ticketing migrate failed: {done.stdout}{done.stderr}")
        del variables["MIGRATE_DATABASE_URL"]
        for name in PROCESSES:
            self._keep(Program(name, [TICKETING, name], variables, self.log_of(name)))

    def _start_up(self) -> None:
        variables = environment(**self._variables, TICKETING_HOME=str(self.product_home))
        self._keep(Program("up", [TICKETING, "up", "--no-demo"], variables, self.log_of("up")))
        self.dsn = make_conninfo(
            "", user="postgres", dbname="ticketing", host=str(self.disk.folder / "postgres")
        )

    def _address_through(self, network: str) -> str:
        return make_conninfo(
            self.dsn,
            user="ticketing_app",
            host="127.0.0.1",
            port=self.networks[network].port,
            sslmode="disable",
            gssencmode="disable",
        )


def _is_session(process: psutil.Process) -> bool:
    """Whether it is the process of a session of PostgreSQL, rather than one of the server's own."""
    with suppress(psutil.Error, IndexError):
        return " ticketing " in process.cmdline()[0]
    return False
