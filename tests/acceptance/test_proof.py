"""Exports of the log and proofs of events, over HTTP and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.ticket import Ticket
from tests.support.commands import COMMAND_SECONDS, environment, ticketing
from tests.support.exports import run_verifier
from tests.support.forks import TicketingProcess
from tests.support.waiting import eventually

PATHS = ("/v1/audit/export", "/v1/audit/export/manifest", "/v1/audit/events/x/proof")


def test_exports_and_proofs_are_for_admins(site):
    restricted = site.client(key=site.key(role="admin", property_ids=("abc123",)))
    without_scope = site.client(key=site.key(role="admin", scopes=("tickets:read",)))
    for path in PATHS:
        statuses = [site.client(role).get(path).status_code for role in ("manager", "staff", "guest")]
        assert [*statuses, restricted.get(path).status_code] == [403] * 4
        assert without_scope.get(path).json()["error"]["code"] == "insufficient_scope"
    assert site.client().get(PATHS[2]).status_code == 404


def test_an_export_over_http_passes_the_independent_verifier(site, tmp_path):
    ticket = site.ticket()["id"]
    last = site.store.recorder.max_notification_id()
    for file_format in ("ndjson", "csv"):
        query = f"?from=1&to={last}&format={file_format}"
        exported = site.client().get(f"/v1/audit/export{query}")
        (tmp_path / "data").write_bytes(exported.content)
        (tmp_path / "manifest").write_bytes(site.client().get(f"/v1/audit/export/manifest{query}").content)

        done = run_verifier(tmp_path / "data", tmp_path / "manifest")

        assert exported.headers["X-Export-To"] == str(last)
        assert ticket in exported.text
        assert site.client().get(f"/v1/audit/export{query}").content == exported.content
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=9&to=3", "from"),
        ("from=0", "from"),
        ("to=x", "to"),
        ("to=9999999", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=9&to=2020-01-01T00:00:00Z", "from"),
        ("from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", "to"),
        ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("to=3&after=4", "after"),
        ("format=xml", "format"),
    ],
)
def test_a_bad_range_is_refused(site, query, field):
    answer = site.client().get(f"/v1/audit/export?{query}")

    assert answer.status_code == 422
    assert list(answer.json()["error"]["details"]) == [field]


def test_the_message_describes_the_error_of_a_range(site):
    messages = [
        site.client().get(f"/v1/audit/export?{query}").json()["error"]["message"]
        for query in ("from=0", "from=tomorrow", "from=2026-01-02T00:00:00Z&to=2026-01-02T02:00:00%2B02:00")
    ]

    assert messages == [
        "The from parameter must be at least 1.",
        "The from parameter must be a position of the log, such as 1000, or a time with its offset, such as"
        " 2023-01-15T15:30:00Z.",
        "The range is reversed or empty: from 2026-01-02T00:00:00Z is not before to 2026-01-02T00:00:00Z.",
    ]


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
def test_an_export_by_time_can_be_resumed(site, tmp_path, file_format):
    ids = [site.ticket()["id"] for _ in range(4)]
    histories = [site.client().get(f"/v1/tickets/{ticket_id}/history").json()["data"] for ticket_id in ids]
    times = [entries[0]["exact_time"] for entries in histories]
    query = f"from={times[0]}&to={times[3]}&format={file_format}"

    whole = site.client().get(f"/v1/audit/export?{query}")
    lines = whole.content.splitlines(keepends=True)
    first = int(whole.headers["X-Export-From"])
    rest = site.client().get(f"/v1/audit/export?{query}&after={first}")

    text = whole.content.decode()
    assert [ticket_id in text for ticket_id in ids] == [True, True, True, False]
    assert rest.content == b"".join(lines[(2 if file_format == "csv" else 1) :])
    (tmp_path / "data").write_bytes(whole.content)
    (tmp_path / "manifest").write_bytes(site.client().get(f"/v1/audit/export/manifest?{query}").content)
    done = run_verifier(tmp_path / "data", tmp_path / "manifest")
    assert done.returncode == 0, done.stderr


def test_reading_exports_and_proofs_is_recorded(site):
    auditor = site.client(key=site.key(name="Auditor", role="admin"))
    for path in PATHS:
        auditor.get(path, params={"to": "3"} if "export" in path else None)

    def recorded_routes():
        query = "action=audit.read,access.denied&per_page=50"
        found = site.client().get(f"/v1/audit/events?{query}").json()["data"]
        return {one["facts"].get("route") for one in found}

    eventually(
        lambda: {path.replace("/x/", "/{event_id}/") for path in PATHS} <= recorded_routes(), within=60
    )


def test_standard_output_has_only_the_events(site, tmp_path):
    """The command signs the end of the log first; its log lines go to standard error."""
    site.ticket()
    last = str(site.store.recorder.max_notification_id())

    done = ticketing(
        "export", "--to", last, environ=environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))
    )

    assert done.stdout == site.client().get(f"/v1/audit/export?to={last}").text


def test_a_file_that_cannot_be_written_is_named(site, tmp_path):
    environ = environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))
    nowhere = str(tmp_path / "nowhere" / "log.ndjson")

    done = [
        ticketing("export", "--to", "1", *options, environ=environ)
        for options in (("--output", nowhere), ("--manifest", nowhere))
    ]

    assert [one.returncode for one in done] == [2, 2]
    assert all(f"{nowhere} cannot be written: No such file" in one.stderr for one in done)
    assert not any("Traceback" in one.stderr for one in done)


def test_resume_refuses_a_file_that_is_not_an_export(site, tmp_path):
    file = tmp_path / "letter.txt"
    file.write_text("Dear auditor,\nthe end has no line break")

    done = ticketing(
        *("export", "--to", "1", "--output", str(file), "--resume"),
        environ=environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path)),
    )

    assert (done.returncode, "is not an export" in done.stderr) == (1, True)
    assert file.read_text() == "Dear auditor,\nthe end has no line break"


def test_resume_refuses_an_export_of_another_range(site, tmp_path):
    environ = environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))
    file, one_line = tmp_path / "log.ndjson", '{"position":7,"event":"%s"}\n' % ("x" * 100_000)
    file.write_text(one_line)

    done = ticketing(
        *("export", "--from", "1", "--to", "1", "--output", str(file), "--resume"), environ=environ
    )

    assert (done.returncode, "an export of another range" in done.stderr) == (1, True), done.stderr
    assert file.read_text() == one_line


def test_a_full_disk_is_reported_without_a_traceback(site, tmp_path):
    environ = environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))
    files = {"stdin": Path("/dev/null"), "stdout": Path("/dev/full"), "stderr": tmp_path / "stderr"}

    code = TicketingProcess("export", "--to", "1", environ=environ, **files).wait(COMMAND_SECONDS)

    error = files["stderr"].read_text()
    assert (code, "No space left on device" in error, "Traceback" in error) == (2, True, False)


def test_the_proof_of_an_event_is_served(site):
    ticket = site.ticket()
    last = site.store.recorder.max_notification_id()
    site.client().get(f"/v1/audit/export?to={last}")  # signs
    (event,) = site.store.history(Ticket, ticket["id"])

    proof = site.client().get(f"/v1/audit/events/{event.event_id}/proof").json()["data"]

    assert proof["aggregate_id"] == ticket["id"]
    assert json.loads(proof["checkpoint"])["position"] >= proof["position"]


def test_the_command_line_exports_proves_and_verifies(site, tmp_path):
    environ = environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))
    files = tmp_path / "log.ndjson", tmp_path / "log.ndjson.manifest.json"
    last = str(site.store.recorder.max_notification_id())

    whole = ticketing("export", "--to", last, "--output", str(files[0]), environ=environ)
    content = files[0].read_bytes()
    files[0].write_bytes(content[: len(content) // 2])
    resumed = ticketing("export", "--to", last, "--output", str(files[0]), "--resume", environ=environ)
    to_stdout = ticketing("export", "--to", last, environ=environ)
    other_range = ticketing(
        "export", "--from", "2", "--to", last, "--output", str(files[0]), "--resume", environ=environ
    )
    by_time = ticketing("export", "--from", "2020-01-01", "--to", last, environ=environ)
    reversed_ranges = [
        ticketing("export", "--from", first, "--to", end, environ=environ)
        for first, end in (("9", "3"), ("2026-02-01", "2026-01-01"), ("9", "2020-01-01T00:00:00Z"))
    ]
    no_range = ticketing("export", "--from", "yesterday", environ=environ)
    nothing_outside = ticketing("verify", "--no-read-tables", environ=environ)

    assert whole.returncode == resumed.returncode == 0, resumed.stderr
    assert files[0].read_bytes() == content == to_stdout.stdout.encode()
    assert run_verifier(*files).returncode == 0
    assert by_time.stdout == to_stdout.stdout
    assert (other_range.returncode, "does not begin as" in other_range.stderr) == (1, True)
    assert [(one.returncode, "reversed" in one.stderr) for one in reversed_ranges] == [(1, True)] * 3
    assert (no_range.returncode, "Use a position" in no_range.stderr) == (2, True)
    assert (nothing_outside.returncode, "outside" in nothing_outside.stderr) == (2, True)
