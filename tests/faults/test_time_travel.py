"""1,000 random histories over HTTP: a request as of an earlier moment gets the answer of that moment.

After each command the test reads the ticket, and sometimes a list, and stores the answer. At the end it
repeats all of these requests by time and by version. `make test` runs fewer histories.
"""

import os
import random
from datetime import UTC, datetime

import pytest
from falcon.testing import TestClient

from domain.ticket import PRIORITIES, STATUSES
from infrastructure.storage.event_store import EventStore
from projections.verification import verify
from server.app import create_app
from tests.support.api import services_on
from tests.support.arrange import register_property, register_user
from tests.support.history import WORDS
from tests.support.keys import bearer, make_key, operator
from tests.support.vault import VAULT

pytestmark = pytest.mark.faults

HISTORIES = 1_000 if os.environ.get("FAULTS_FULL") else 40
COMMANDS = 12  # a history, on average
AT_ONCE = 20
PROPERTIES = ("p0", "p1", "p2")
PEOPLE = ("u0", "u1", "u2")
SORTS = ("created_at", "updated_at", "priority")


@pytest.fixture
def site(database, tmp_path):
    with services_on(database, tmp_path) as services:
        store = services.store
        for property_id in PROPERTIES:
            register_property(store, property_id, operator(), name=property_id.upper())
        for user_id in PEOPLE:
            last = register_user(
                store,
                user_id,
                operator(),
                name=f"Name of {user_id}",
                role="staff",
                property_ids=PROPERTIES,
            )
        assert services.visibility.wait_for(last.position)
        yield Site(TestClient(create_app(services)), store)


class Site:
    """The API in this process, for an admin and for staff of two of the three properties."""

    def __init__(self, client: TestClient, store: EventStore) -> None:
        self._client = client
        self._headers = {
            "admin": bearer(make_key(store).key),
            "staff": bearer(make_key(store, role="staff", property_ids=("p0", "p1")).key),
        }

    def send(self, method, path, body=None):
        answer = self._client.simulate_request(method, path, json=body, headers=self._headers["admin"])
        assert answer.status_code < 300, answer.text
        return answer

    def get(self, path, role="admin", **params):
        answer = self._client.simulate_get(path, params=params, headers=self._headers[role])
        assert answer.status_code in (200, 404), answer.text
        return answer


class Histories:
    """Changes tickets by random commands and stores every answer."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._alive: list[str] = []
        self._deleted: set[str] = set()
        self.begun = 0
        self.tickets: list[tuple[str, str, int | None, dict | None]] = []  # id, moment, version, answer
        self.lists: list[tuple[dict, str, str, dict]] = []  # parameters, role, moment, answer

    def grow(self, histories: int) -> None:
        while self.begun < histories or self._alive:
            if len(self._alive) < AT_ONCE and self.begun < histories:
                self._open()
            else:
                self._change(self._random.choice(self._alive))
            if self._random.random() < 0.1:
                self._list()

    def _open(self):
        self.begun += 1
        body = {
            "title": self._words(),
            "description": self._words(),
            "priority": self._random.choice(PRIORITIES),
            "property_id": self._random.choice(PROPERTIES),
        }
        ticket_id = self._site.send("POST", "/v1/tickets", body).json["data"]["id"]
        self._alive.append(ticket_id)
        self._record(ticket_id)

    def _change(self, ticket_id):
        path = f"/v1/tickets/{ticket_id}"
        pick = self._random.random()
        if pick < 1 / COMMANDS:
            self._alive.remove(ticket_id)
        elif ticket_id in self._deleted:
            self._site.send("POST", f"{path}/restore")
            self._deleted.remove(ticket_id)
        elif pick < 0.2:
            self._site.send("DELETE", path)
            self._deleted.add(ticket_id)
        elif pick < 0.35:
            visibility = self._random.choice(("public", "internal"))
            self._site.send("POST", f"{path}/comments", {"text": self._words(), "visibility": visibility})
        else:
            self._site.send("PATCH", path, self._some_fields())
        self._record(ticket_id)

    def _some_fields(self):
        fields = {
            "title": self._words(),
            "description": self._words(),
            "status": self._random.choice(STATUSES),
            "priority": self._random.choice(PRIORITIES),
            "category": self._random.choice(("plumbing", "heating")),
            "assigned_to": self._random.choice((None, *PEOPLE)),
            "property_id": self._random.choice(PROPERTIES),
        }
        return {name: fields[name] for name in self._random.sample(list(fields), self._random.randint(1, 3))}

    def _words(self):
        return " ".join(self._random.choices(WORDS, k=3))

    def _record(self, ticket_id):
        answer = self._site.get(f"/v1/tickets/{ticket_id}")
        moment = datetime.now(UTC).isoformat()
        if answer.status_code == 200:
            version = int(answer.headers["ETag"].strip('"'))
            self.tickets.append((ticket_id, moment, version, answer.json["data"]))
        else:
            self.tickets.append((ticket_id, moment, None, None))

    def _list(self):
        role = self._random.choice(("admin", "staff"))
        parameters = {
            "per_page": str(self._random.choice((3, 10, 100))),
            "page": str(self._random.choice((1, 1, 2, 3))),
            "sort": self._random.choice(SORTS),
            "order": self._random.choice(("asc", "desc")),
        }
        filters = {
            "status": ",".join(self._random.sample(STATUSES, 2)),
            "priority": self._random.choice(PRIORITIES),
            "assigned_to": self._random.choice(("none", *PEOPLE)),
            "property_id": self._random.choice(PROPERTIES),
            "q": " ".join(
                self._random.choice(("", "-", "")) + word for word in self._random.sample(WORDS, 2)
            ),
            "updated_before": datetime.now(UTC).isoformat(),
        }
        for name in self._random.sample(list(filters), self._random.choice((0, 1, 1, 2))):
            parameters[name] = filters[name]
        answer = self._site.get("/v1/tickets", role, **parameters)
        self.lists.append((parameters, role, datetime.now(UTC).isoformat(), answer.json))


def without_links(body):
    body["meta"]["pagination"].pop("links")
    return body


def test_a_request_as_of_an_earlier_moment_gets_the_answer_of_that_moment(site, database):
    histories = Histories(site, seed=int(os.environ.get("SEED", "1")))

    histories.grow(HISTORIES)

    assert histories.begun == HISTORIES
    for ticket_id, moment, version, expected in histories.tickets:
        expected = expected and expected | {"allowed_statuses": []}  # of an earlier state
        as_of = site.get(f"/v1/tickets/{ticket_id}", as_of=moment)
        assert as_of.json.get("data") == expected, (ticket_id, moment)
        if version is not None:
            assert as_of.headers["ETag"] == f'"{version}"'
            by_version = site.get(f"/v1/tickets/{ticket_id}", version=str(version))
            assert by_version.json["data"] == expected, (ticket_id, version)
    found = 0
    for parameters, role, moment, expected in histories.lists:
        as_of = site.get("/v1/tickets", role, as_of=moment, **parameters)
        assert without_links(as_of.json) == without_links(expected), (parameters, role, moment)
        found += len(expected["data"])
    assert (
        verify(database, VAULT, lambda done, total: None).differences == []
    )  # whatever the batch sizes were
    assert found > HISTORIES  # the lists were not all empty
    assert sum(expected is None for *_, expected in histories.tickets) > HISTORIES / 10
