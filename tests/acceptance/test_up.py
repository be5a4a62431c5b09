"""`ticketing up`, which `make run` runs: first and later starts, failures, and the end."""

import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest
import requests

from tests.support.browser import PASSWORD, Browser
from tests.support.commands import TICKETING, environment, ticketing
from tests.support.postgres import cloned_database
from tests.support.server import free_port, lasting_ports
from tests.support.waiting import eventually

START_SECONDS = 120  # for a busy machine
SECOND_START_SECONDS = 5
STOP_SECONDS = 30
LEFT_SECONDS = 10  # PostgreSQL deletes postmaster.pid shortly before its process ends


def still_running(processes, within):
    """Return the processes that do not end in time. A zombie counts as ended."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def restore_interrupts():
    """Handle SIGINT: shells let their background processes, and the children of these, ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Up:
    """A running `ticketing up`, in its own process group, as under a terminal."""

    def __init__(self, home, *arguments, port=None, **variables):
        self.port = port or free_port()
        self.home = home
        self.log = home.with_name(f"{home.name}-{time.monotonic_ns()}.log")
        self._stopwatch = Stopwatch()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [TICKETING, "up", "--workers", "2", *arguments],
                env=environment(TICKETING_HOME=str(home), PORT=str(self.port), **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=restore_interrupts,
            )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self):
        return self.log.read_text()

    def wait_until_ready(self):
        ready = f"\nREADY {self.url}\n"
        eventually(lambda: ready in self.output or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.output
        self.seconds = self._stopwatch.seconds_without_others(self.family())
        (self.key,) = set(re.findall(r"mts_\w+", self.output))

    def get(self, path, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.get(self.url + path, headers=headers, timeout=10)

    def family(self):
        """Return its process, all children, and PostgreSQL."""
        members = [psutil.Process(self.process.pid)]
        members += members[0].children(recursive=True)
        with suppress(FileNotFoundError):
            members.append(self.postgresql())
        return members

    def postgresql(self):
        return psutil.Process(int((self.home / "postgres" / "postmaster.pid").read_text().split()[0]))

    def child(self, name):
        """Return the process that runs that subcommand, or None."""
        for one in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # the process may have ended
                if one.cmdline()[-1:] == [name]:
                    return one
        return None

    def stop(self, signal_number=signal.SIGINT):
        """Signal the whole group, as a terminal does, and return the processes that are still running."""
        family = self.family()
        os.killpg(self.process.pid, signal_number)
        self.process.wait(STOP_SECONDS)
        return still_running(family, within=LEFT_SECONDS)


class Stopwatch:
    """Measures the time since its creation, minus the processor time of other processes."""

    def __init__(self):
        self._started_at = time.monotonic()
        self._busy = busy_seconds()

    def seconds_without_others(self, processes):
        """Return the time since the start, minus the processor time of all processes except these."""
        ours = sum(sum(process.cpu_times()[:4]) for process in processes)
        others = max(0, busy_seconds() - self._busy - ours)
        return time.monotonic() - self._started_at - others / psutil.cpu_count()


def busy_seconds():
    """Return the processor time of all processes since the machine started."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


@contextmanager
def running(home, *arguments, port=None, **variables):
    up = Up(home, *arguments, port=port, **variables)
    try:
        up.wait_until_ready()
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A first start, with demo data. The fixture `home` stops it."""
    metrics_port = str(lasting_ports(5)[0])
    with running(tmp_path_factory.mktemp("up") / "home", METRICS_PORT=metrics_port) as up:
        up.metrics_port = metrics_port
        yield up


def test_a_first_start_serves_demo_data_to_its_key_only(first):
    without, listed = first.get("/v1/tickets"), first.get("/v1/tickets", first.key)
    reference = first.get("/v1/tickets/123e4567-e89b-12d3-a456-426614174000", first.key)

    assert (without.status_code, listed.status_code) == (401, 200)
    assert listed.json()["meta"]["pagination"]["total"] > 100
    assert reference.json()["data"]["title"] == "Water leak in bathroom"
    assert first.output.splitlines()[-1] == f"READY {first.url}"
    assert f"curl -H 'Authorization: Bearer {first.key}' {first.url}/v1/tickets" in first.output
    assert (first.home / "admin-key").stat().st_mode & 0o777 == 0o600


def printed_admin(up):
    return re.search(r"^Pages +\S+/admin  account (\S+), password (\S+)$", up.output, re.MULTILINE)


def test_the_first_administrator_is_created_and_can_sign_in(first):
    account, password = printed_admin(first).groups()
    statuses = [Browser(first.url).sign_in(account, given).status_code for given in (password, "wrong")]

    assert statuses == [303, 403]
    assert (first.home / "admin-password").read_text() == f"{account} {password}\n"
    assert (first.home / "admin-password").stat().st_mode & 0o777 == 0o600


def test_every_follower_serves_its_health_and_metrics_on_a_port_of_its_own(first):
    def loops():
        ports = [int(first.metrics_port) + number for number in (1, 3, 4)]  # the relay needs Kafka
        return [
            requests.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["seconds_since_turn"].keys()
            for port in ports
        ]

    def are_all_answering():
        with suppress(requests.ConnectionError):  # the notary starts last
            return loops() == [{"projector"}, {"consumer", "deliveries"}, {"notary"}]

    eventually(are_all_answering, START_SECONDS)


def test_commands_work_while_up_is_running(first):
    environ = environment(TICKETING_HOME=str(first.home))
    made = ticketing("key", "create", "--name", "second", "--role", "staff", environ=environ)

    answer = first.get("/v1/tickets", made.stdout.strip())

    assert made.returncode == 0, made.stderr
    assert answer.status_code == 200


def test_doctor_finds_only_ok_while_up_is_running(first):
    environ = environment(TICKETING_HOME=str(first.home))
    reports = []

    def is_healthy():
        reports.append(ticketing("doctor", environ=environ).stdout)
        return {line.split()[0] for line in reports[-1].splitlines()} == {"OK"}

    eventually(is_healthy, START_SECONDS, message=lambda: reports[-1])  # the notary starts last
    assert "OK       privileges: the role ticketing_app can append to the log" in reports[-1]


def test_a_second_up_on_the_same_home_is_refused(first):
    environ = environment(TICKETING_HOME=str(first.home))
    second = ticketing("up", "--port", str(free_port()), environ=environ)

    assert second.returncode == 2
    assert "running in" in second.stderr


def test_a_port_of_an_up_that_is_running_is_refused_without_waiting(first, tmp_path):
    environ = environment(TICKETING_HOME=str(tmp_path / "home"))

    done = ticketing("up", "--port", first.metrics_port, environ=environ)

    assert done.returncode == 2
    assert f"Port {first.metrics_port} on 127.0.0.1 cannot be used" in done.stderr
    assert "Waiting" not in done.stderr


@pytest.mark.parametrize("name", ["projector", "api"])
def test_a_killed_process_is_started_again(first, name):
    killed = first.child(name)
    killed.kill()
    eventually(lambda: first.child(name) not in (None, killed), START_SECONDS)
    wait_until_answering(first)


def wait_until_answering(up):
    """Wait for the first 200. If there is none, fail with the other outcomes and the logs."""
    outcomes = Counter()

    def is_answering():
        outcomes[outcome := outcome_of_request(up)] += 1
        return outcome == 200

    eventually(is_answering, START_SECONDS, message=lambda: f"{dict(outcomes)}\n{ends_of_logs(up)}")


def outcome_of_request(up):
    try:
        return up.get("/v1/tickets", up.key).status_code
    except requests.RequestException as error:
        return type(error).__name__


def ends_of_logs(up):
    """Return the last part of each log."""
    logs = [up.log, up.home / "postgres" / "server.log", *sorted((up.home / "logs").iterdir())]
    return "\n".join(f"== {log}\n{log.read_text(errors='replace')[-3_000:]}" for log in logs)


def test_a_killed_postgresql_is_started_again(first):
    killed = first.postgresql()

    killed.kill()

    eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)
    wait_until_answering(first)
    assert first.postgresql().pid != killed.pid
    assert "PostgreSQL ended; starting it again" in first.output


def test_ctrl_c_stops_everything(first):
    left = first.stop(signal.SIGINT)

    assert left == []
    assert first.process.returncode == 0
    assert first.output.endswith("Stopped.\n")


@pytest.fixture(scope="module")
def home(first):
    """The home of a first start that was stopped."""
    if first.process.poll() is None:
        first.stop()
    return first.home


def test_a_second_start_is_fast_and_keeps_the_key_and_the_data(home):
    kept = (home / "admin-key").read_text().strip()

    with running(home) as up:
        listed = up.get("/v1/tickets", kept)
        left = up.stop(signal.SIGHUP)

    assert up.key == kept
    assert up.seconds <= SECOND_START_SECONDS
    assert listed.status_code == 200
    assert left == []
    assert up.process.returncode == 0


def test_a_revoked_key_is_replaced_and_a_changed_password_is_kept(home):
    kept = (home / "admin-key").read_text().strip()
    environ = environment(TICKETING_HOME=str(home))
    ids = [line.split()[0] for line in ticketing("key", "list", environ=environ).stdout.splitlines()[1:]]
    for key_id in ids:
        ticketing("key", "revoke", key_id, environ=environ)
    ticketing("user", "password", "admin", "--password-stdin", environ=environ, given=PASSWORD)

    with running(home) as up:
        old, new = up.get("/v1/tickets", kept), up.get("/v1/tickets", up.key)
        signed_in = Browser(up.url).sign_in("admin", PASSWORD)
        left = up.stop(signal.SIGTERM)

    assert up.key != kept
    assert (old.status_code, new.status_code) == (401, 200)
    assert printed_admin(up) is None
    assert f"Pages      {up.url}/admin\n" in up.output
    assert signed_in.status_code == 303
    assert left == []
    assert up.process.returncode == 0


@pytest.mark.parametrize("delay", [0.1, 0.5, 1.0, 1.5])
def test_a_signal_while_starting_stops_everything(home, delay):
    up = Up(home)
    time.sleep(delay)  # each delay tests another phase of the start

    left = up.stop()

    assert left == []


def test_up_can_be_started_on_its_port_again_immediately_after_it_was_killed(home):
    with running(home) as up, socket.create_connection(("127.0.0.1", up.port)) as client:
        client.sendall(b"GET /v1/events")  # the API waits for the rest, so it does not end at once
        family = [one for one in up.family() if one.name() != "postgres"]
        up.process.kill()
        up.process.wait()
        with running(home, port=up.port) as again:  # takes over the PostgreSQL that is still running
            left = still_running(family, within=STOP_SECONDS)
            assert again.get("/health/live").status_code == 200
    assert left == []


def test_a_used_port_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = ticketing("up", "--port", port, environ=environment(TICKETING_HOME=str(tmp_path / "home")))

    assert done.returncode == 2
    assert f"Port {port}" in done.stderr
    assert f"by process {os.getpid()} " in done.stderr
    assert not (tmp_path / "home" / "postgres").exists()


@pytest.fixture(scope="module")
def existing(postgres, template, tmp_path_factory):
    """A start without demo data, on an existing database and with an unreachable Kafka."""
    home = tmp_path_factory.mktemp("existing") / "home"
    with (
        cloned_database(postgres, template) as dsn,
        running(
            home, "--no-demo", DATABASE_URL=dsn, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"
        ) as up,
    ):
        up.dsn = dsn
        yield up


def test_no_demo_loads_no_tickets(existing):
    listed = existing.get("/v1/tickets", existing.key)

    assert listed.json()["meta"]["pagination"]["total"] == 0


def test_up_is_ready_although_kafka_is_unreachable(existing):
    answer = existing.get("/health/ready").json()["data"]

    assert answer["kafka"] == "unreachable"
    assert answer["relay_lag"] > 0


def test_an_existing_database_is_used_and_left_running(existing):
    left = existing.stop()

    assert left == []
    assert existing.process.returncode == 0
    assert not (existing.home / "postgres").exists()
    with psycopg.connect(existing.dsn) as conn:
        assert conn.execute("SELECT count(*) FROM access.api_keys").fetchone() == (1,)
