"""`ticketing up` with Kafka."""

from __future__ import annotations

from infrastructure.settings import Settings
from tests.acceptance.panel import followers_of
from tests.acceptance.test_up import printed_admin, running
from tests.support.browser import Browser
from tests.support.stream import read_stream
from tests.support.waiting import eventually


def ready(up):
    return up.get("/health/ready").json()["data"]


def test_up_runs_the_relay_when_kafka_is_set(tmp_path, kafka, kafka_prefix):
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_PREFIX": kafka_prefix}
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=kafka, kafka_prefix=kafka_prefix)

    with running(tmp_path / "home", "--no-demo", **variables) as up:
        eventually(lambda: ready(up)["relay_lag"] == 0, 60)
        eventually(lambda: ready(up)["webhook_dispatcher_lag_seconds"] == 0, 60)
        kafka_state = ready(up)["kafka"]
        metrics = up.get("/metrics", up.key).text
        browser = Browser(up.url)
        browser.sign_in(*printed_admin(up).groups())
        eventually(lambda: set(followers_of(browser).values()) == {"Up to date"})
        left = up.stop()

    assert kafka_state == "reachable"
    assert "\nticketing_relay_lag_events 0.0\n" in metrics
    assert "\nticketing_relay_lag_seconds 0.0\n" in metrics
    published = [dict(record.headers) for record in read_stream(settings)]
    assert b"api_key.issued" in {headers["ce_type"] for headers in published}
    assert {headers["ce_source"] for headers in published} == {up.url.encode()}
    assert left == []
