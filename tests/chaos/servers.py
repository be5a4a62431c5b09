"""The servers around the product: PostgreSQL, Kafka, and nginx with deploy/nginx.conf."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from infrastructure.storage.embedded import EmbeddedFailed, EmbeddedServer, start_embedded
from tests.chaos.units import Program
from tests.support.kafka_server import KafkaServer

ROOT = Path(__file__).parents[2]
_FAILURES = "max_fails=1 fail_timeout=1s"  # after which nginx avoids an API, and for how long
_FOR_THIS_MACHINE = {  # in deploy/nginx.conf, which is for containers
    "pid /var/run/nginx.pid;": "pid {folder}/nginx.pid; user {user};",
    "error_log /dev/stderr warn;": "error_log {folder}/error.log warn;",
    "access_log off;": "access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;"
    " fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;",
    "resolver 127.0.0.11 valid=5s ipv6=off;": "",
    f"server api:8000 resolve {_FAILURES};": f"server 127.0.0.1:{{api_port}} {_FAILURES};",
    "listen 8080;": "listen 127.0.0.1:{port};",
    "worker_processes auto;": "worker_processes 2;",
}


_OUT_OF_STEP = "is out of sync with the underlying log"


class ProgramMissing(Exception):
    """A program that the rig needs is not installed; the message says how to install it."""


class PostgresUnit:
    """The embedded PostgreSQL as a server of its own."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder
        self._server: EmbeddedServer | None = None

    @property
    def pid(self) -> int | None:
        if self._server is None or not self._server.is_running():
            return None
        try:
            return self._server.pid
        except (OSError, ValueError):
            return None

    def start(self) -> None:
        if self._server is not None:
            self._server.start_again()
            return
        settings = {"fsync": "off", "shared_buffers": "128MB", "max_wal_size": "512MB"}
        self._server = start_embedded(self.data_dir, settings=settings)

    def dsn(self, *, role: str = "postgres") -> str:
        assert self._server is not None
        return self._server.dsn(role=role)

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"host={self._server.socket_dir} port=5432"

    def stop(self) -> None:
        if self._server is not None:
            try:
                self._server.stop()
            except EmbeddedFailed:
                pid = self.pid
                if pid is not None:
                    psutil.Process(pid).kill()


class KafkaUnit:
    """One Kafka node."""

    name = "kafka"

    def __init__(self, folder: Path) -> None:
        self.server = KafkaServer(folder)
        self._log_read = 0  # how much of the log is about earlier starts

    @property
    def pid(self) -> int | None:
        return self.server.pid if self.server.is_running else None

    def start(self) -> None:
        log = self.server.folder / "server.log"
        self._log_read = len(log.read_text(errors="replace")) if log.exists() else 0
        self.server.start()

    def is_broken(self) -> bool:
        """Whether the broker has lost track of its consumer groups since its last start: a fault of Apache
        Kafka 4.4 after a kill, which lasts until it is started again."""
        log = (self.server.folder / "server.log").read_text(errors="replace")
        return self.pid is not None and _OUT_OF_STEP in log[self._log_read :]

    def stop(self) -> None:
        self.server.stop()


def nginx(folder: Path, *, port: int, api_port: int, other_api_ports: Sequence[int] = ()) -> Program:
    """nginx in the foreground with the product's configuration, with other ports and folders. Each further
    port is that of an API on another host."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise ProgramMissing("nginx is not installed. On Debian or Ubuntu: apt-get install nginx-light")
    folder.mkdir(parents=True)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    user = "root" if os.geteuid() == 0 else "nobody"
    for given, adapted in _FOR_THIS_MACHINE.items():
        if text.count(given) != 1:
            raise ValueError(f"deploy/nginx.conf does not contain exactly once: {given}")
        adapted = adapted.replace("{folder}", str(folder)).replace("{user}", user)
        text = text.replace(given, adapted.replace("{port}", str(port)).replace("{api_port}", str(api_port)))
    one = f"server 127.0.0.1:{api_port} {_FAILURES};"
    servers = [one, *(f"server 127.0.0.1:{other} {_FAILURES};" for other in other_api_ports)]
    text = text.replace(one, " ".join(servers))
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = [program, "-e", folder / "error.log", "-g", "daemon off;", "-c", configuration]
    return Program("nginx", command, dict(os.environ), folder / "output.log")
