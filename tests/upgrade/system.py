"""The processes of a system on one database, each of which is replaced by one of another version."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.chaos.api import Api
from tests.chaos.servers import nginx
from tests.chaos.units import Program, family_of, send
from tests.support.commands import environment
from tests.support.server import lasting_ports
from tests.support.waiting import eventually
from tests.upgrade.versions import Version

COMMAND_SECONDS = 600
READY_SECONDS = 900
APIS = 2
FOLLOWERS = ("projector", "relay", "notary", "webhook-dispatcher")
_POPULATE = """
import json, sys
from tests.acceptance.site import Site
from tests.support.webhooks import register
site = Site(sys.argv[1], "")
site.populate()
register(site.store, sys.argv[2])
print(json.dumps(site.keys))
"""


class Failed(Exception):
    """A command or process of the drill did not do what it should; the message has its output."""


class System:
    """nginx, APIS APIs behind it, and one of each follower. `variables` are settings by name."""

    def __init__(self, dsn: str, home: Path, **variables: str) -> None:
        self.dsn = dsn
        self.home = home
        port, *self._ports = lasting_ports(1 + APIS)
        self.base_url = f"http://127.0.0.1:{port}"
        self._log = home / "processes.log"
        self._running: dict[tuple[str, int], Program] = {}
        self._nginx = nginx(
            home / "nginx", port=port, api_port=self._ports[0], other_api_ports=self._ports[1:]
        )
        self._nginx.start()
        self._environ = environment(
            DATABASE_URL=dsn,
            TICKETING_HOME=str(home),
            BASE_URL=self.base_url,
            TRUSTED_PROXIES="127.0.0.0/8",
            THREADS="8",
            WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
            WEBHOOK_RETRY_SECONDS=",".join(["0.5"] * 40),
            **variables,
        )

    def run(self, version: Version, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `ticketing` command until it ends."""
        return self._run(version, version.command(*arguments))

    def require(self, version: Version, *arguments: str) -> str:
        """Run a `ticketing` command that must succeed; return its messages."""
        done = self.run(version, *arguments)
        if done.returncode != 0:
            raise Failed(f"{version.name}: {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def populate(self, version: Version, webhook: str) -> dict[str, str]:
        """Register people, properties and a webhook with the code of a version; return keys by role."""
        done = self._run(version, [version.command()[0], "-P", "-c", _POPULATE, self.dsn, webhook])
        if done.returncode != 0:
            raise Failed(f"{done.stderr}{self.end_of_log()}")
        keys: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return keys

    def start(self, version: Version, name: str, number: int) -> None:
        port = {"PORT": str(self._ports[number % APIS])}
        program = Program(name, version.command(name), self._environ | version.variables | port, self._log)
        program.start()
        self._running[name, number] = program

    def wait_until_ready(self, number: int) -> None:
        """Wait until the API with that number serves."""
        api = Api(f"http://127.0.0.1:{self._ports[number % APIS]}")

        def is_ready() -> bool:
            if ended := self.ended():
                raise Failed(f"{ended} ended: {self.end_of_log()}")
            return api.is_ready()

        eventually(is_ready, READY_SECONDS, message=self.end_of_log)

    def start_followers(self, version: Version, number: int) -> None:
        """Start one of each follower, beside those with other numbers."""
        for name in FOLLOWERS:
            self.start(version, name, number)

    def stop_followers(self, number: int) -> None:
        for name in FOLLOWERS:
            self.stop(name, number)

    def stop(self, name: str, number: int) -> None:
        """Send SIGTERM and wait for the end, as a supervisor does."""
        self._running.pop((name, number)).stop()

    def kill(self, name: str, number: int) -> None:
        """kill -9."""
        program = self._running.pop((name, number))
        send(family_of(program.pid), signal.SIGKILL)
        program.stop()

    def ended(self) -> list[str]:
        """The processes that have ended although they should run."""
        return [f"{name} {number}" for (name, number), program in self._running.items() if not program.pid]

    def end_of_log(self) -> str:
        return self._log.read_text(errors="replace")[-4_000:]

    def close(self) -> None:
        for program in (*self._running.values(), self._nginx):
            program.stop()

    def _run(self, version: Version, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self._environ | version.variables,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
