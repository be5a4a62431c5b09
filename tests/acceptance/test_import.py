"""Imports: objects with their original times and authors, once, whatever is repeated or interrupted."""

from __future__ import annotations

import json
import os
import random
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from tests.acceptance.site import PEOPLE
from tests.support.commands import environment, ticketing
from tests.support.forks import TicketingProcess

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
TICKETS = 100_000 if IS_FULL else 1_500
FEW, MANY = (10_000, 100_000) if IS_FULL else (1_000, 4_000)  # lines of the files whose memory is compared
LIMIT_SECONDS = 1_800 if IS_FULL else 120  # of a command
MOST_GROWTH = 1.2  # of the memory: the collector of garbage moves it by a tenth
EXAMPLE = re.findall(r"^{.*}$", Path("docs/how-to/import.md").read_text(), re.MULTILINE)
COMMENT = {"text": "Wet.", "author": "user789", "created_at": "2019-06-01T00:00:00Z"}
ADDRESS = {"street": "1 Hill", "city": "Beachtown", "state": "CA", "zip": "90210", "country": "USA"}


@pytest.fixture
def settings(site, tmp_path):
    return environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))


@pytest.fixture
def run(settings, tmp_path):
    """Returns a function that imports a file with these lines."""

    def run(lines, *options, source="sap", name="data.ndjson"):
        file = tmp_path / name
        file.write_text("".join(f"{line}\n" for line in lines))
        return ticketing("import", str(file), "--source", source, *options, environ=settings)

    return run


def events_of(site, ticket_id):
    return [decode(state) for state in site.store.recorder.select_states(ticket_id, 0)]


def count_events(site):
    with connect(site.dsn, application="tests") as conn:
        return conn.execute("SELECT count(*) FROM es.stored_events").fetchone()[0]


def ticket(number, **facts):
    return {
        "external_id": f"T{number}",
        "title": f"Ticket {number}",
        "property": "abc123",
        "requester": "user789",
        "created_at": "2019-05-04T09:30:00Z",
        **facts,
    }


def test_the_example_of_the_document_is_imported_with_times_and_authors(site, run):
    done = run(EXAMPLE)
    assert (done.returncode, len(EXAMPLE)) == (0, 4), done.stderr
    assert "Imported 4 objects" in done.stderr
    (found,) = site.client().get("/v1/tickets?external_id=sap:T1").json()["data"]
    assert found["created_at"] == "2019-05-04T09:30:00Z"
    assert (found["property"]["name"], found["unit"]["name"]) == ("Hill House", "Unit 101")
    detail = site.client().get(f"/v1/tickets/{found['id']}").json()["data"]
    assert (detail["comments"][0]["user"]["name"], detail["comments"][0]["created_at"]) == (
        "John Doe",
        "2019-05-05T08:00:00Z",
    )
    opened, commented = events_of(site, found["id"])
    assert opened.actor.user_id == commented.actor.user_id == found["requester"]["id"]
    assert (opened.imported.source, opened.imported.by.auth, opened.imported.notify) == ("sap", "cli", False)
    assert opened.imported.at.year > 2025

    before = count_events(site)
    again = run(EXAMPLE)
    assert (again.returncode, "4 existed already" in again.stderr) == (0, True)
    assert count_events(site) == before


def test_histories_and_the_audit_trail_show_who_imported_an_event_and_when(site, browser, settings):
    body = {"source": "old", "items": [ticket("seen")]}
    assert site.client().post("/v1/imports", json=body).status_code == 200
    importer_id, importer, _ = PEOPLE["admin"]
    (found,) = site.client().get("/v1/tickets?external_id=old:Tseen&include=history").json()["data"]
    site.client().patch(f"/v1/tickets/{found['id']}", json={"title": "Changed"})
    opened, changed = site.client().get(f"/v1/tickets/{found['id']}/history").json()["data"]
    imported = opened["imported"]
    assert (imported["source"], imported["auth"]["kind"]) == ("old", "api_key")
    assert imported["by"] == {"user": {"id": importer_id, "name": importer}, "role": "admin"}
    assert (opened["time"], imported["at"] > "2026") == ("2019-05-04T09:30:00Z", True)
    assert opened["actor"]["user"]["id"] == "user789"
    assert "imported" not in changed
    assert found["history"] == [opened]
    audited = site.client().get(f"/v1/audit/events?ticket_id={found['id']}&order=asc").json()["data"]
    assert [event.get("imported") for event in audited] == [imported, None]
    told = ticketing("history", found["id"], environ=settings).stdout
    assert told.count(f"imported from old by {importer} ({importer_id}) as admin") == 1
    page = browser.open(f"/admin/tickets/{found['id']}/history").text
    assert page.count(f"Imported from old by {importer}") == 1


def test_a_closed_ticket_has_its_status_assignee_and_tags(site, run):
    closed = ticket(
        "closed",
        status="closed",
        closed_at="2019-05-06T10:00:00Z",
        assigned_to="user101",
        tags=["wet", "roof"],
    )
    assert run([json.dumps(closed)]).returncode == 0
    (found,) = site.client().get("/v1/tickets?external_id=sap:Tclosed").json()["data"]
    assert (found["status"], found["assigned_to"]["id"], found["tags"]) == (
        "closed",
        "user101",
        ["roof", "wet"],
    )
    assert found["updated_at"] == "2019-05-06T10:00:00Z"


def test_refused_lines_are_reported_with_line_and_field_and_affect_no_other(site, run, tmp_path):
    lines = [
        json.dumps(ticket("good-1")),
        "{",
        json.dumps(ticket("bad-1", property="nowhere")),
        json.dumps(ticket("bad-2", created_at="2100-01-01T00:00:00Z")),
        json.dumps(ticket("bad-3", colour="red")),
        json.dumps(
            ticket(
                "bad-4", comments=[{"text": "x", "author": "nobody", "created_at": "2020-01-01T00:00:00Z"}]
            )
        ),
        json.dumps({"kind": "spaceship", "external_id": "S"}),
        json.dumps({"kind": "user", "external_id": "U9", "name": "Twin", "email": "user789@example.com"}),
        json.dumps(ticket("bad-5", unit="unit999")),
        "",
        json.dumps(ticket("good-2")),
    ]
    report = tmp_path / "refused.ndjson"
    done = run(lines, "--report", str(report))
    refused = {one["line"]: list(one["details"]) for one in map(json.loads, report.read_text().splitlines())}
    assert done.returncode == 1
    assert refused == {
        2: ["line"],
        3: ["property"],
        4: ["created_at"],
        5: ["colour"],
        6: ["comments.0.author"],
        7: ["kind"],
        8: ["email"],
        9: ["unit"],
    }
    for name in ("Tgood-1", "Tgood-2"):
        assert site.client().get(f"/v1/tickets?external_id=sap:{name}").json()["data"]


def test_tickets_are_imported_from_csv(site, run):
    lines = [
        "external_id,title,property,requester,created_at,tags,unit",
        'C1,"Leak, ""big""",abc123,user789,2019-05-04T09:30:00Z,wet roof,',
        "C2,Too few cells",
        "C3,Quiet,abc123,user789,2019-05-04T09:30:00+02:00,,unit456",
    ]
    done = run(lines, name="data.csv")
    assert (done.returncode, "Imported 2 objects" in done.stderr) == (1, True)
    (found,) = site.client().get("/v1/tickets?external_id=sap:C1").json()["data"]
    assert (found["title"], found["tags"], found["unit"]) == ('Leak, "big"', ["roof", "wet"], None)
    (found,) = site.client().get("/v1/tickets?external_id=sap:C3").json()["data"]
    assert (found["created_at"], found["unit"]["id"]) == ("2019-05-04T07:30:00Z", "unit456")
    assert run(["external_id,colour"], name="data.csv").returncode == 1


def test_objects_are_imported_over_http(site):
    items = [
        {"kind": "property", "external_id": "H1", "name": "North", "address": ADDRESS},
        {
            "kind": "user",
            "external_id": "H2",
            "name": "Nora",
            "email": "nora@example.com",
            "properties": ["H1"],
        },
        ticket("H3", property="H1", requester="H2"),
        ticket("H4", property="H9"),
        7,
    ]
    body = {"source": "web", "items": items}
    report = site.client().post("/v1/imports", json=body).json()["data"]
    assert (report["created"], report["unchanged"]) == (3, 0)
    assert [(one["index"], list(one["details"])) for one in report["refused"]] == [
        (3, ["property"]),
        (4, ["items"]),
    ]
    assert (
        site.client().get("/v1/tickets?external_id=web:TH3").json()["data"][0]["requester"]["name"] == "Nora"
    )
    again = site.client().post("/v1/imports", json=body).json()["data"]
    assert (again["created"], again["unchanged"]) == (0, 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": [{}] * 1_001}, "items"),
        ({"items": []}, "items"),
        ({"source": "Not a slug"}, "source"),
        ({"x": 1}, "x"),
    ],
)
def test_a_malformed_import_is_422(site, change, field):
    body = {"source": "web", "items": [ticket("X")]} | change
    answer = site.client().post("/v1/imports", json=body)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])


def test_only_an_unrestricted_admin_imports(site):
    body = {"source": "web", "items": [ticket("roles")]}
    restricted = site.client(key=site.key(role="admin", property_ids=("abc123",)))
    statuses = [
        site.client(role).post("/v1/imports", json=body).status_code for role in ("manager", "staff", "guest")
    ]
    assert [*statuses, restricted.post("/v1/imports", json=body).status_code] == [403] * 4


@pytest.mark.faults
def test_a_killed_import_is_completed_by_the_next_and_a_third_changes_nothing(site, settings, tmp_path):
    file = write_tickets(tmp_path, TICKETS)
    arguments = ("import", str(file), "--source", "many")
    process = TicketingProcess(*arguments, environ=settings, stdout=tmp_path / "output")
    before, deadline = count_events(site), time.monotonic() + 60
    while count_events(site) == before and time.monotonic() < deadline:
        time.sleep(random.uniform(0.01, 0.05))
    process.kill()
    process.wait(60)

    done = ticketing(*arguments, environ=settings, limit_seconds=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    complete = count_events(site)
    assert complete == before + 2 * TICKETS
    assert site.client().get("/v1/tickets?external_id=many:T0").json()["meta"]["pagination"]["total"] == 1
    again = ticketing(*arguments, environ=settings, limit_seconds=LIMIT_SECONDS)
    assert f"{TICKETS} existed already" in again.stderr
    assert count_events(site) == complete


def test_the_memory_of_an_import_does_not_depend_on_the_length_of_the_file(site, settings, tmp_path):
    peaks = {}
    for count in (FEW, MANY):
        file = write_tickets(tmp_path, count)
        arguments = ("import", str(file), "--source", f"memory-{count}")
        process = TicketingProcess(*arguments, environ=settings, stdout=tmp_path / "output")
        peaks[count] = peak_memory(process, LIMIT_SECONDS)
        assert process.returncode == 0, (tmp_path / "output").read_text()
    print(f"{peaks[MANY] / peaks[FEW]:.3f} of the memory with {MANY:,} tickets: {peaks}")
    assert peaks[MANY] <= MOST_GROWTH * peaks[FEW]


def write_tickets(folder, count):
    file = folder / f"{count}.ndjson"
    file.write_text("".join(f"{json.dumps(ticket(n, comments=[COMMENT]))}\n" for n in range(count)))
    return file


def peak_memory(process, limit_seconds):
    """Wait for the end of the process; returns the most bytes that it had for itself."""
    watched, peak = psutil.Process(process.pid), 0
    deadline = time.monotonic() + limit_seconds
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psutil.Error):
            peak = max(peak, watched.memory_full_info().uss)
        time.sleep(0.02)
    process.wait(1)
    return peak
