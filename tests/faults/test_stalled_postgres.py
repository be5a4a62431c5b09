"""PostgreSQL accepts connections and statements but does not answer: no request exceeds its limit."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from infrastructure.storage.embedded import start_embedded
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect
from projections.schema import create_read_schema
from tests.acceptance.site import LEAK, PEOPLE, Site
from tests.support.browser import Browser, give_password
from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.keys import bearer
from tests.support.oauth import make_app
from tests.support.proxy import Proxy
from tests.support.server import running_api
from tests.support.stall import Callers, Request, frozen, send
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
STALL_SECONDS = 45 if IS_FULL else 9
CLIENTS = 24 if IS_FULL else 12
ANSWER_SECONDS = 5.0
READY_SECONDS = 2.0
LIVE_SECONDS = 2.0  # a busy machine takes 1 s when workers start; before the fix it took 28 s
RECOVERY_SECONDS = 30
GIVE_UP_SECONDS = 60
WRITTEN = """
    SELECT convert_from(state, 'UTF8')::jsonb ->> 'title' FROM es.stored_events
     WHERE topic IN ('ticket.opened', 'ticket.title_changed')
"""


@contextmanager
def frozen_server(request):
    """A new server: its connection string for the API, for the projector, and how to stall it (SIGSTOP)."""
    with tempfile.TemporaryDirectory(prefix="ticketing-stall-") as folder:
        server = start_embedded(Path(folder) / "data", settings={"fsync": "off"})
        try:
            dsn = server.dsn()
            migrate(dsn)
            with connect(dsn, application="tests") as conn:
                create_read_schema(conn)
            yield dsn, dsn, lambda: frozen(server.pid)
        finally:
            server.stop()


@contextmanager
def silent_network(request):
    """A proxy in front of the server: its connection string, that of the server, and how to stall the proxy.

    A stalled proxy accepts all that is sent and forwards nothing.
    """
    database = request.getfixturevalue("database")
    with Proxy(database) as proxy:

        @contextmanager
        def stalled():
            proxy.set_mode("blackhole")
            try:
                yield
            finally:
                proxy.set_mode("pass")

        yield proxy.dsn, database, stalled


@pytest.mark.parametrize("server", [frozen_server, silent_network])
def test_requests_fail_in_time_and_each_write_is_carried_out_once(server, request):
    with (
        server(request) as (dsn, direct_dsn, stalled),
        running_projector(direct_dsn),
        running_api(dsn, workers=2, threads=4, projector=False) as base_url,
    ):
        site = Site(direct_dsn, base_url)
        site.populate()
        kinds = kinds_of_requests(site)
        with Callers(kinds, CLIENTS) as callers:
            eventually(lambda: len(callers.answers) > 4 * CLIENTS)
            with stalled(), Callers([Request("live", False, get(base_url, "/health/live"))], 2) as watchers:
                began, before = time.monotonic(), len(callers.answers)
                eventually(lambda: time.monotonic() > began + STALL_SECONDS)
                meanwhile, live = callers.answers[before:], watchers.stop()
            resumed_at = time.monotonic()
            eventually(lambda: is_recovered(site), RECOVERY_SECONDS)
            print(f"{time.monotonic() - resumed_at:.1f} s until all requests succeeded")
        answers = callers.stop()
        refused = [answer for answer in answers if answer.text and answer.status == 503]
        for answer in refused:
            repeat(kinds, answer)
        written = Counter(text for (text,) in site.pool.fetch(WRITTEN))
        site.pool.close()

    print(f"{len(meanwhile)} answers meanwhile, {Counter((one.name, one.status) for one in meanwhile)}")
    print(f"slowest {slowest(answers)} s, {len(live)} times live: {slowest(live)} s")
    assert len(meanwhile) >= 45
    assert {answer.name for answer in meanwhile if answer.status == 503} == {one.name for one in kinds}
    assert {answer.status for answer in answers} <= {200, 201, 503}
    assert all(answer.retry_after for answer in answers if answer.status == 503)
    assert slowest(answers) <= ANSWER_SECONDS
    assert slowest([answer for answer in answers if answer.name == "ready"]) <= READY_SECONDS
    assert {answer.status for answer in live} == {200}
    assert slowest(live) <= LIVE_SECONDS
    assert refused
    sent = {answer.text for answer in answers if answer.text}
    assert {text: written[text] for text in sent} == dict.fromkeys(sent, 1)


def kinds_of_requests(site):
    """The kinds of requests that clients send: reads, writes, a page, a token, and readiness."""
    base_url, headers = site.base_url, bearer(site.keys["manager"])
    ticket = f"/v1/tickets/{site.ticket()['id']}"
    app = make_app(site.store)
    give_password(site.store, PEOPLE["manager"][0])
    browser = Browser(base_url)
    assert browser.sign_in(PEOPLE["manager"][0]).status_code == 303
    cookies = browser.http.cookies.get_dict()

    def write(method, path, **fields):
        return lambda session, text: session.request(
            method,
            base_url + path,
            json={**fields, "title": text},
            headers={**headers, "Idempotency-Key": text},
            timeout=GIVE_UP_SECONDS,
        )

    def token(session, text):
        fields = {"grant_type": "client_credentials"}
        return session.post(f"{base_url}/oauth/token", fields, auth=app.basic, timeout=GIVE_UP_SECONDS)

    return [
        Request("get", False, get(base_url, ticket, headers=headers)),
        Request("post", True, write("POST", "/v1/tickets", **LEAK)),
        Request("list", False, get(base_url, "/v1/tickets?q=leak", headers=headers)),
        Request("patch", True, write("PATCH", ticket)),
        Request("page", False, get(base_url, "/admin/tickets", cookies=cookies)),
        Request("token", False, token),
        Request("ready", False, get(base_url, "/health/ready")),
    ]


def get(base_url, path, **options):
    return lambda session, text: session.get(
        base_url + path, timeout=GIVE_UP_SECONDS, allow_redirects=False, **options
    )


def repeat(kinds, answer):
    """Send a write again, with its Idempotency-Key, until it is carried out."""
    request = next(one for one in kinds if one.name == answer.name)
    with requests.Session() as session:
        eventually(lambda: send(session, request, answer.text).status in (200, 201))


def slowest(answers):
    return round(max(answer.seconds for answer in answers), 2)


def is_recovered(site):
    statuses = [site.client("manager").get(path).status_code for path in ("/health/ready", "/v1/tickets")]
    return statuses == [200, 200]


@contextmanager
def running_projector(dsn):
    projector = TicketingProcess("projector", environ=environment(DATABASE_URL=dsn))
    try:
        yield
    finally:
        projector.terminate()
        projector.wait(GIVE_UP_SECONDS)
