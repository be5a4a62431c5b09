"""Health checks and metrics: they report the state of the system, and answer in time."""

import os
import re
import signal
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from falcon.testing import TestClient

from api.monitoring.health import Check, Readiness
from api.monitoring.lags import Lags
from infrastructure.settings import Settings
from infrastructure.storage.embedded import start_embedded
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect, make_pool
from projections.overview import system_state
from projections.schema import create_read_schema, drop_read_schema
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.arrange import register_property
from tests.support.hostile_settings import make_hostile
from tests.support.keys import bearer, make_key, operator
from tests.support.postgres import memory
from tests.support.proxy import Proxy
from tests.support.server import free_port, running_api
from tests.support.vault import VAULT
from tests.support.waiting import eventually

IN_TIME_SECONDS = 5  # the limit is 1 to 2 s, and a busy machine adds to it; without a limit it takes 30 s
DSN = "postgresql://nobody@127.0.0.1:{port}/nothing"


def fetch_readiness(dsn, tmp_path, **settings):
    """The answer of /health/ready in this process, and the seconds that it took."""
    with services_on(dsn, tmp_path, **settings) as services:
        client = TestClient(create_app(services))
        began = time.monotonic()
        answer = client.simulate_get("/health/ready")
        return answer, time.monotonic() - began


@contextmanager
def silent_server():
    """A server that accepts connections and never answers, like PostgreSQL behind a broken network."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield DSN.format(port=server.getsockname()[1])


@pytest.fixture(scope="module")
def own_server():
    """A server of this module alone, because it is put into recovery."""
    with tempfile.TemporaryDirectory(prefix="ticketing-test-", dir=memory()) as folder:
        server = start_embedded(Path(folder) / "data", settings={"shared_buffers": "16MB"})
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def standby_key(own_server):
    """A key of the database of `standby`, issued before the recovery."""
    dsn = own_server.dsn()
    migrate(dsn)
    with connect(dsn, application="tests") as conn:
        create_read_schema(conn)
    with make_pool(dsn, application="tests", max_size=2) as pool:
        return make_key(EventStore(pool, VAULT)).key


@pytest.fixture(scope="module")
def standby(own_server, standby_key):
    """The address of a database whose server is in recovery, as a standby is."""
    dsn = own_server.dsn()
    signal_file = own_server.data_dir / "standby.signal"
    os.kill(own_server.pid, signal.SIGINT)  # a fast shutdown
    eventually(lambda: not own_server.is_running())
    signal_file.touch()
    owner = own_server.data_dir.stat()
    os.chown(signal_file, owner.st_uid, owner.st_gid)
    own_server.start_again()
    return dsn


def test_live_needs_no_database(tmp_path):
    with services_on(DSN.format(port=free_port()), tmp_path) as services:
        answer = TestClient(create_app(services)).simulate_get("/health/live")

    assert (answer.status_code, answer.json["data"]) == (200, {"status": "live"})


def test_ready_reports_the_lag_of_the_projector(database, store, tmp_path, catch_up):
    register_property(store, "p1", operator(), name="P")
    lagging, _ = fetch_readiness(database, tmp_path)
    catch_up()
    caught_up, _ = fetch_readiness(database, tmp_path)

    found = lagging.json["data"]
    ages = {name: found.pop(f"{name}_lag_seconds") for name in Lags._fields}
    assert ages.pop("relay") is None
    assert all(0 < seconds < 30 for seconds in ages.values())
    assert found == {
        "status": "ready",
        "projector_lag": 1,
        "parked_events": 0,
        "kafka": "not configured",
        "relay_lag": None,
        "webhook_deliveries_due": 0,
        "webhooks_failing": 0,
    }
    assert caught_up.json["data"]["projector_lag"] == 0


def test_sequence_gaps_after_the_last_event_do_not_count_as_lag(
    database, pool, store, conn, tmp_path, catch_up
):
    """Rolled-back appends and crashes of the server leave gaps in the sequence."""
    register_property(store, "p1", operator(), name="P")
    catch_up()
    conn.execute("UPDATE relay.position SET position = (SELECT max(notification_id) FROM es.stored_events)")
    conn.execute("SELECT nextval('es.stored_events_notification_id_seq') FROM generate_series(1, 21)")

    answer, _ = fetch_readiness(database, tmp_path, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")

    shown = system_state(pool)
    assert (answer.json["data"]["projector_lag"], answer.json["data"]["relay_lag"]) == (0, 0)
    assert (shown.projector_lag, shown.relay_lag) == (0, 0)
    assert store.recorder.max_notification_id() == shown.projected


def test_parked_events_are_reported_but_do_not_make_the_api_unready(database, conn, tmp_path):
    conn.execute("INSERT INTO read.parked_events (position, originator_id, error) VALUES (1, 'x', 'y')")

    answer, _ = fetch_readiness(database, tmp_path)

    assert (answer.status_code, answer.json["data"]["parked_events"]) == (200, 1)


def test_an_unreachable_kafka_does_not_make_the_api_unready(database, tmp_path):
    servers = f"127.0.0.1:{free_port()}"

    answer, _ = fetch_readiness(database, tmp_path, kafka_bootstrap_servers=servers)

    assert (answer.status_code, answer.json["data"]["kafka"]) == (200, "unreachable")


def test_without_postgresql_the_api_is_unready_and_names_the_database(tmp_path):
    answer, seconds = fetch_readiness(DSN.format(port=free_port()), tmp_path)

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "unavailable")
    assert list(answer.json["error"]["details"]) == ["database"]
    assert answer.headers["retry-after"] == "1"
    assert seconds < IN_TIME_SECONDS


def test_with_a_hanging_postgresql_the_api_is_reported_unready_in_time(tmp_path):
    with silent_server() as dsn:
        answer, seconds = fetch_readiness(dsn, tmp_path)

    assert answer.status_code == 503
    assert seconds < IN_TIME_SECONDS


def test_a_missing_migration_is_named(database, conn, tmp_path):
    conn.execute("DELETE FROM public.ticketing_migrations WHERE name LIKE '0002%'")

    answer, _ = fetch_readiness(database, tmp_path)

    assert answer.status_code == 503
    assert "0002_access.sql" in answer.json["error"]["details"]["migrations"][0]


def test_missing_read_tables_are_named(database, conn, tmp_path):
    drop_read_schema(conn, "read")

    answer, _ = fetch_readiness(database, tmp_path)

    assert list(answer.json["error"]["details"]) == ["read_tables"]


def test_requests_without_postgresql_are_503(database, store, tmp_path):
    key = make_key(store).key

    with services_on(DSN.format(port=free_port()), tmp_path) as services:
        began = time.monotonic()
        answer = TestClient(create_app(services, ROUTES)).simulate_get("/v1/things", headers=bearer(key))
        seconds = time.monotonic() - began

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert seconds < IN_TIME_SECONDS


def test_concurrent_checks_share_one_connection(database, tmp_path):
    check = Check(Settings(home=tmp_path, database_url=database))
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(check.run())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with connect(database, application="tests") as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ticketing-health%'"
        assert conn.execute(f"{query} AND datname = current_database()").fetchone() == (1,)
    assert {outcome.status for outcome in outcomes} == {"ready"}


def test_the_api_is_ready_after_the_server_has_closed_its_idle_connection(database, tmp_path):
    check = Check(Settings(home=tmp_path, database_url=database))
    assert check.run().status == "ready"

    with connect(database, application="tests") as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'ticketing-health%' AND datname = current_database()"
        )

    assert check.run().status == "ready"


def test_the_api_is_ready_after_a_network_fault_has_reset_its_idle_connection(database, tmp_path):
    with Proxy(database) as proxy:
        check = Check(Settings(home=tmp_path, database_url=proxy.dsn))
        assert check.run().status == "ready"
        proxy.set_mode("reset")
        proxy.set_mode("pass")

        assert check.run().status == "ready"


READ_ONLY = "default_transaction_read_only"


@pytest.mark.parametrize(
    ("settings", "is_ready"),
    [
        ((("DATABASE", "on"),), False),
        ((("ROLE IN DATABASE", "true"),), False),
        ((("DATABASE", "on"), ("ROLE IN DATABASE", "off")), True),
        ((("DATABASE", "off"), ("ROLE IN DATABASE", "on")), False),
    ],
)
def test_the_api_is_unready_while_new_sessions_are_read_only(database, conn, tmp_path, settings, is_ready):
    check = Check(Settings(home=tmp_path, database_url=database))
    assert check.run().status == "ready"
    for scope, value in settings:
        make_hostile(conn, scope, role=conn.info.user, settings={READ_ONLY: value})

    found = check.run()

    assert isinstance(found, Readiness) == is_ready
    if not is_ready:
        assert "read-only" in found["database"][0]
        conn.execute(f"ALTER DATABASE {conn.info.dbname} RESET ALL")
        conn.execute(f"ALTER ROLE {conn.info.user} IN DATABASE {conn.info.dbname} RESET ALL")
        assert check.run().status == "ready"


def test_a_probe_with_a_read_only_session_is_ready_once_new_sessions_can_write(database, conn, tmp_path):
    make_hostile(conn, "DATABASE", role="", settings={READ_ONLY: "on"})
    check = Check(Settings(home=tmp_path, database_url=database))
    unready = check.run()
    conn.execute(f"ALTER DATABASE {conn.info.dbname} RESET ALL")

    assert "read-only" in unready["database"][0]
    assert check.run().status == "ready"


def test_in_recovery_the_api_is_unready_and_every_request_is_503(tmp_path, standby, standby_key):
    with services_on(standby, tmp_path) as services:
        client = TestClient(create_app(services))
        ready = client.simulate_get("/health/ready")
        answers = [
            client.simulate_request(method, path, headers=bearer(standby_key))
            for method, path in (("GET", "/v1/tickets"), ("DELETE", "/v1/tickets/t1"), ("GET", "/v1/events"))
        ]

    assert (ready.status_code, list(ready.json["error"]["details"])) == (503, ["database"])
    assert "in recovery" in ready.json["error"]["details"]["database"][0]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert {"in recovery" in answer.json["error"]["message"] for answer in answers} == {True}


def test_metrics_are_for_admins(database, store, tmp_path):
    with services_on(database, tmp_path) as services:
        client = TestClient(create_app(services))
        staff = client.simulate_get("/metrics", headers=bearer(make_key(store, role="staff").key))
        admin = client.simulate_get("/metrics", headers=bearer(make_key(store).key))

    assert client.simulate_get("/metrics").status_code == 401
    assert staff.status_code == 403
    assert admin.headers["content-type"].startswith("text/plain")
    assert "ticketing_http_requests_total{" in admin.text


def test_metrics_are_summed_over_all_workers(database, store):
    key = make_key(store).key
    with running_api(database, workers=2, projector=False) as base_url:
        for _ in range(40):
            requests.get(f"{base_url}/v1/nothing-here", timeout=10)
        text = requests.get(f"{base_url}/metrics", headers=bearer(key), timeout=10).text

    (count,) = re.findall(r'ticketing_http_requests_total\{.*route="none",status="404"\} (\S+)', text)
    assert float(count) == 40


def test_metrics_on_a_separate_port_need_no_key(database):
    port = free_port()
    with running_api(database, METRICS_PORT=str(port)) as url:
        requests.get(f"{url}/health/live", timeout=5)
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)

    assert answer.status_code == 200
    assert re.search(r'^ticketing_http_requests_total\{.*route="/health/live".*\} [1-9]', answer.text, re.M)


def test_metrics_contain_the_current_lag_without_a_readiness_request(database, store):
    port, headers = free_port(), bearer(make_key(store).key)
    lags = []
    with running_api(database, projector=False, METRICS_PORT=str(port)) as base_url:
        for address in (f"http://127.0.0.1:{port}/metrics", f"{base_url}/metrics"):
            register_property(store, f"p{len(lags)}", operator(), name="P")
            text = requests.get(address, headers=headers, timeout=10).text
            lags.append(float(re.search(r"^ticketing_projector_lag_events (\S+)", text, re.M)[1]))

    assert lags == [2, 3]  # the event of the key is counted too


def test_killed_workers_are_replaced(database):
    with running_api(database, workers=2, projector=False) as base_url:
        port = int(base_url.rpartition(":")[2])
        listening = {c.pid for c in psutil.net_connections() if c.status == "LISTEN" and c.laddr.port == port}
        (master,) = (pid for pid in listening if psutil.Process(pid).ppid() not in listening)
        for worker in psutil.Process(master).children():
            os.kill(worker.pid, signal.SIGKILL)

        deadline = time.monotonic() + 10
        while not _is_ready(base_url):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _is_ready(base_url):
    try:
        return requests.get(f"{base_url}/health/ready", timeout=2).status_code == 200
    except requests.RequestException:
        return False
