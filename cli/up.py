"""`ticketing up`, which `make run` runs: all processes on one machine, in the foreground."""

from __future__ import annotations

import fcntl
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli import demo
from cli.database import Database, open_database, operator_context, prepare
from cli.database_keeper import DatabaseKeeper
from cli.first_admin import ensure_admin, write_secret
from cli.keys import is_working_admin_key
from cli.listening import metrics_ports, require_local_host, wait_for_port
from cli.output import note, print_result
from cli.stopping import Signals, stop_on_signals
from cli.supervisor import Child, Supervisor, ticketing_command
from commands.api_keys import IssueKey, issue_key
from infrastructure.keys.tokens import digest
from infrastructure.process.standard_error import protect_standard_output
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.disk_space import Reserve
from infrastructure.storage.embedded import EmbeddedFailed, EmbeddedServer, start_embedded
from infrastructure.storage.roles import APPLICATION
from notary.places import require_folder

READY_WITHIN_SECONDS = 60.0
TOO_MANY_FAILURES = 3
NOT_NEEDED_TO_SERVE = ("webhook-dispatcher", "relay")  # the API works without them
POLL_SECONDS = 0.1
OTHERS_FINISH_WITHIN_SECONDS = 120.0


class CannotStart(Exception):
    """`up` cannot start or continue; the message gives the reason and the remedy."""


def up(
    demo_data: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Load demo data on the first start, into an empty log.")
    ] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The port to serve on. Default: PORT, or 8000.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="API processes. Default: WORKERS, or 4.")
    ] = None,
) -> None:
    """Start PostgreSQL and every process of the system, and keep them running until Ctrl-C."""
    environ = dict(os.environ)
    if port is not None:
        environ["PORT"] = str(port)
    if workers is not None:
        environ["WORKERS"] = str(workers)
    settings = load_settings(environ)
    protect_standard_output()  # the process that reads it may have ended
    environ["TICKETING_HOME"] = str(settings.home)
    with stop_on_signals() as signals, _lock_home(settings.home):
        require_folder(settings)
        _require_free_ports(settings)
        with _open_server(settings, signals) as (dsn, owner, keeper):
            environ["DATABASE_URL"] = dsn
            if keeper is not None:
                environ["POSTGRES_DATA_DIR"] = str(settings.home / "postgres")
            environ.pop("MIGRATE_DATABASE_URL", None)  # the processes must not have the rights of the owner
            prepared = msgspec.structs.replace(load_settings(environ), migrate_database_url=owner)
            _run(prepared, environ, signals, keeper, with_demo=demo_data)


def _run(
    settings: Settings,
    environ: dict[str, str],
    signals: Signals,
    keeper: DatabaseKeeper | None,
    *,
    with_demo: bool,
) -> None:
    ports = metrics_ports(settings)

    def child(name: str) -> Child:
        own = environ | ({"METRICS_PORT": str(ports[name])} if ports else {})
        return Child(name, ticketing_command(name), own, settings.home / "logs" / f"{name}.log")

    supervisor = Supervisor([child(name) for name in _list_processes(settings)])
    for step in prepare(settings):
        note(step)
    with open_database(settings) as database:
        if with_demo:
            demo.load_once(database, settings.home / "demo-data")
        key = _ensure_admin_key(database, settings.home / "admin-key")
        admin = ensure_admin(database, settings.home / "admin-password")
    try:
        with signals.defer():
            supervisor.start()
        _wait_until_ready(settings, supervisor, signals)
        _announce(settings, key, admin)
        supervisor.children.append(child("notary"))  # last, because the API works without it
        while True:
            with signals.defer():
                if keeper is not None and keeper.keep_running():
                    supervisor.forget_failures()  # children failed because PostgreSQL was down
                supervisor.keep_running()
            time.sleep(POLL_SECONDS)
    finally:
        supervisor.stop()


def _list_processes(settings: Settings) -> list[str]:
    """Return the subcommands to run; the relay only with Kafka."""
    return [
        "api",
        "projector",
        "webhook-dispatcher",
        *(["relay"] if settings.kafka_bootstrap_servers else []),
    ]


@contextmanager
def _lock_home(home: Path) -> Iterator[None]:
    """Refuse a second `up` on the same home. The kernel releases the lock when the process ends."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "up.lock").open("a+")
    except OSError as error:
        raise CannotStart(f"TICKETING_HOME {home} cannot be used: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise CannotStart(f"`ticketing up` is running in {home} already (process {holder}).") from None
        with suppress(OSError):  # on a full disk a second `up` cannot name the first process
            os.truncate(lock.fileno(), 0)
            os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        yield


def _require_free_ports(settings: Settings) -> None:
    require_local_host(settings)
    for name, port in metrics_ports(settings).items():
        if problem := wait_for_port(settings.host, port):
            raise CannotStart(
                f"METRICS_PORT is {settings.metrics_port}, so the metrics of {name} need port {port} on"
                f" {settings.host}, which cannot be used: {problem}."
            )
    if problem := wait_for_port(settings.host, settings.port):
        raise CannotStart(
            f"Port {settings.port} on {settings.host} cannot be used: {problem}."
            f" Choose another, such as PORT={settings.port % 65_535 + 1} make run."
        )


@contextmanager
def _open_server(
    settings: Settings, signals: Signals
) -> Iterator[tuple[str, str | None, DatabaseKeeper | None]]:
    """Yield DATABASE_URL, MIGRATE_DATABASE_URL and None; or both addresses of an embedded server and a keeper
    that restarts it. The embedded server is started before the block and stopped after it."""
    if settings.database_url:
        yield settings.database_url, settings.migrate_database_url, None
        return
    server: EmbeddedServer | None = None
    reserve = Reserve(settings.home)
    reserve.release()
    try:
        deadline = time.monotonic() + OTHERS_FINISH_WITHIN_SECONDS
        while server is None or not server.is_owner:
            _wait_until_owner_ends(server, deadline)
            with signals.defer():  # an interrupted start would leave a server running
                server = start_embedded(settings.home / "postgres", announce=note)
        yield server.dsn(role=APPLICATION), server.dsn(), DatabaseKeeper(server, reserve)
    except (EmbeddedFailed, OSError) as error:
        raise CannotStart(f"The embedded PostgreSQL does not start: {error}") from None
    finally:
        if server is not None:
            try:
                server.stop()
            except EmbeddedFailed as error:
                note(f"PostgreSQL in {server.data_dir} (process {server.pid}) does not stop: {error}")


def _wait_until_owner_ends(server: EmbeddedServer | None, deadline: float) -> None:
    """Wait until the other command that started the server has ended: `up` needs its own server."""
    if server is None:
        return
    if time.monotonic() > deadline:
        raise CannotStart(
            f"Another process uses the embedded PostgreSQL in {server.data_dir}. Stop it first."
        )
    time.sleep(POLL_SECONDS)


def _ensure_admin_key(database: Database, path: Path) -> str:
    """Return the key in the file if it is valid; otherwise issue one and store it in the file."""
    if path.exists():
        stored = path.read_text().strip()
        if is_working_admin_key(database.pool, digest(stored)):
            return stored
    command = IssueKey(name="ticketing up", role="admin")
    issued = issue_key(database.store, command, operator_context())
    write_secret(path, issued.key + "\n")
    return issued.key


def _wait_until_ready(settings: Settings, supervisor: Supervisor, signals: Signals) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not _is_ready(settings):
        with signals.defer():
            supervisor.keep_running()
        failed = [
            child
            for child in supervisor.children
            if child.failures >= TOO_MANY_FAILURES and child.name not in NOT_NEEDED_TO_SERVE
        ]
        if failed or time.monotonic() > deadline:
            suspect = (failed or supervisor.children)[0]
            raise CannotStart(
                f"{suspect.name} does not start. The end of {suspect.log}:\n{suspect.last_lines()}"
            )
        time.sleep(POLL_SECONDS)


def _is_ready(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"{_api_address(settings)}/health/ready", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def _announce(settings: Settings, key: str, admin: tuple[str, str] | None) -> None:
    address = _api_address(settings)
    print_result(f"API        {address}/v1")
    print_result(f"Reference  {address}/docs")
    print_result(
        f"Pages      {address}/admin" + (f"  account {admin[0]}, password {admin[1]}" if admin else "")
    )
    print_result(f"Admin key  {key}")
    print_result(f"Logs       {settings.home / 'logs'}")
    print_result(f"Try        curl -H 'Authorization: Bearer {key}' {address}/v1/tickets")
    print_result("Stop       Ctrl-C")
    print_result(f"READY {address}")


def _api_address(settings: Settings) -> str:
    """Return the address under which this machine reaches the API."""
    everywhere = settings.host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    host = "127.0.0.1" if everywhere else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
