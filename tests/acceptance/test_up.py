"""`ticketing up`, which is what `make run` runs, from nothing to READY and back."""

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest
import requests

from tests.support.browser import PASSWORD, Browser
from tests.support.commands import TICKETING, environment, ticketing

FIRST_START_SECONDS = 60
SECOND_START_SECONDS = 5
STOP_SECONDS = 15


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, within):
    """Wait for another process to get there: poll, with a limit."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.05)


def still_running(processes, within):
    """Those that do not end in time. A zombie has ended; whether init collects it is not our doing."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


class Up:
    """A running `ticketing up`, in a process group of its own as under a terminal."""

    def __init__(self, home, *arguments, port=None, **variables):
        self.port = port or free_port()
        self.home = home
        self.log = home.with_name(f"{home.name}-{time.monotonic_ns()}.log")
        self.began = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [TICKETING, "up", "--workers", "2", *arguments],
                env=environment(TICKETING_HOME=str(home), PORT=str(self.port), **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self):
        return self.log.read_text()

    def wait_until_ready(self, within):
        ready = f"\nREADY {self.url}\n"
        eventually(lambda: ready in self.output or self.process.poll() is not None, within)
        assert self.process.poll() is None, self.output
        self.seconds = time.monotonic() - self.began
        (self.key,) = set(re.findall(r"mts_\w+", self.output))

    def get(self, path, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.get(self.url + path, headers=headers, timeout=10)

    def family(self):
        """Every process of it, PostgreSQL included."""
        members = [psutil.Process(self.process.pid)]
        members += members[0].children(recursive=True)
        with suppress(FileNotFoundError):
            pid = (self.home / "postgres" / "postmaster.pid").read_text().split()[0]
            members.append(psutil.Process(int(pid)))
        return members

    def child(self, name):
        """The newest process that runs that subcommand, or None."""
        for one in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it may end while we look
                if one.cmdline()[-1:] == [name]:
                    return one
        return None

    def stop(self, signal_number=signal.SIGINT):
        """Signal the whole group, as a terminal does, and return the processes it leaves behind."""
        family = self.family()
        os.killpg(self.process.pid, signal_number)
        self.process.wait(STOP_SECONDS)
        return still_running(family, within=1)


@contextmanager
def running(home, *arguments, within=SECOND_START_SECONDS, port=None, **variables):
    up = Up(home, *arguments, port=port, **variables)
    try:
        up.wait_until_ready(within)
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that has seen its first start, with demo data."""
    folder = tmp_path_factory.mktemp("up") / "home"
    with running(folder, within=FIRST_START_SECONDS):
        pass
    return folder


def test_a_first_start_serves_demo_data_to_its_key_alone(tmp_path):
    with running(tmp_path / "home", within=FIRST_START_SECONDS) as up:
        without, listed = up.get("/v1/tickets"), up.get("/v1/tickets", up.key)
        reference = up.get("/v1/tickets/123e4567-e89b-12d3-a456-426614174000", up.key)
        left = up.stop()

    assert (without.status_code, listed.status_code) == (401, 200)
    assert listed.json()["meta"]["pagination"]["total"] > 100
    assert reference.json()["data"]["title"] == "Water leak in bathroom"
    assert up.output.splitlines()[-2] == f"READY {up.url}"
    assert f"curl -H 'Authorization: Bearer {up.key}' {up.url}/v1/tickets" in up.output
    assert (up.home / "admin-key").stat().st_mode & 0o777 == 0o600
    assert left == []


def test_a_second_start_is_quick_and_keeps_the_key_and_the_data(home):
    kept = (home / "admin-key").read_text().strip()

    with running(home) as up:
        listed = up.get("/v1/tickets", kept)

    assert up.key == kept
    assert up.seconds <= SECOND_START_SECONDS
    assert listed.status_code == 200


def test_the_kept_key_is_replaced_when_it_was_revoked(home):
    kept = (home / "admin-key").read_text().strip()
    environ = environment(TICKETING_HOME=str(home))
    ids = [line.split()[0] for line in ticketing("key", "list", environ=environ).stdout.splitlines()[1:]]
    for key_id in ids:
        ticketing("key", "revoke", key_id, environ=environ)

    with running(home) as up:
        old, new = up.get("/v1/tickets", kept), up.get("/v1/tickets", up.key)

    assert up.key != kept
    assert (old.status_code, new.status_code) == (401, 200)


def printed_admin(up):
    return re.search(r"^Pages +\S+/admin  account (\S+), password (\S+)$", up.output, re.MULTILINE)


def test_the_first_administrator_is_made_once_and_signs_in(home):
    with running(home, within=FIRST_START_SECONDS) as up:
        account, password = printed_admin(up).groups()
        statuses = [Browser(up.url).sign_in(account, given).status_code for given in (password, "wrong")]

    assert statuses == [303, 403]
    assert (home / "admin-password").read_text() == f"{account} {password}\n"
    assert (home / "admin-password").stat().st_mode & 0o777 == 0o600


def test_a_password_changed_since_is_not_printed_and_not_replaced(home):
    environ = environment(TICKETING_HOME=str(home))
    ticketing("user", "password", "admin", "--password-stdin", environ=environ, given=PASSWORD)

    with running(home, within=FIRST_START_SECONDS) as up:
        signed_in = Browser(up.url).sign_in("admin", PASSWORD)

    assert printed_admin(up) is None
    assert f"Pages      {up.url}/admin\n" in up.output
    assert signed_in.status_code == 303


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(home, number):
    with running(home) as up:
        left = up.stop(number)

    assert left == []
    assert up.process.returncode == 0
    assert up.output.endswith("Stopped.\n")


@pytest.mark.parametrize("delay", [0.1, 0.5, 1.0, 1.5])
def test_a_signal_while_starting_stops_everything(home, delay):
    up = Up(home)
    time.sleep(delay)  # the moment is what is tested

    left = up.stop()

    assert left == []


@pytest.mark.parametrize("name", ["projector", "api"])
def test_a_killed_process_is_started_again(home, name):
    with running(home) as up:
        killed = up.child(name)
        killed.kill()
        eventually(lambda: up.child(name) not in (None, killed), within=10)
        eventually(lambda: is_answering(up), within=20)


def is_answering(up):
    with suppress(requests.RequestException):
        return up.get("/v1/tickets", up.key).status_code == 200
    return False


def test_children_end_with_an_up_that_is_killed(home):
    with running(home) as up:
        family = [one for one in up.family() if one.name() != "postgres"]
        up.process.kill()
        up.process.wait()
        left = still_running(family, within=STOP_SECONDS)

    assert left == []
    with running(home) as again:  # takes the server that was left behind over
        left = again.stop()
    assert left == []


def test_commands_work_beside_it(home):
    with running(home) as up:
        environ = environment(TICKETING_HOME=str(home))
        made = ticketing("key", "create", "--name", "second", "--role", "staff", environ=environ)

        answer = up.get("/v1/tickets", made.stdout.strip())

    assert made.returncode == 0, made.stderr
    assert answer.status_code == 200


def test_a_second_up_on_the_same_home_is_refused(home):
    with running(home):
        second = ticketing("up", "--port", str(free_port()), environ=environment(TICKETING_HOME=str(home)))

    assert second.returncode == 2
    assert "running in" in second.stderr


def test_a_used_port_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = ticketing("up", "--port", port, environ=environment(TICKETING_HOME=str(tmp_path / "home")))

    assert done.returncode == 2
    assert f"Port {port}" in done.stderr
    assert not (tmp_path / "home" / "postgres").exists()


def test_no_demo_leaves_the_log_to_the_first_key(tmp_path):
    with running(tmp_path / "home", "--no-demo", within=FIRST_START_SECONDS) as up:
        listed = up.get("/v1/tickets", up.key)

    assert listed.json()["meta"]["pagination"]["total"] == 0


def test_an_existing_database_is_used_and_left_running(database, tmp_path):
    environ = environment(TICKETING_HOME=str(tmp_path / "home"), DATABASE_URL=database, PORT=str(free_port()))
    process = subprocess.Popen(
        [TICKETING, "up", "--no-demo"], env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("READY"):
            break
    os.killpg(process.pid, signal.SIGINT)
    process.wait(STOP_SECONDS)
    process.stdout.close()

    assert lines[-1:] == [f"READY http://127.0.0.1:{environ['PORT']}\n"]
    assert process.returncode == 0
    assert not (tmp_path / "home" / "postgres").exists()
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM access.api_keys").fetchone() == (1,)
