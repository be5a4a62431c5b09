"""Exports are reproducible, and the verifier detects every change on a machine without the database."""

from __future__ import annotations

import ast
import base64
import json
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import Conflict, Invalid, NotFound
from domain.ticket import Ticket
from notary import merkle
from notary.blocks import read_end
from notary.export import FORMATS, data, digest, find_range, manifest
from notary.follower import chain_next, sign_log
from notary.proofs import prove
from notary.signing import rotate_key
from notary.verification import verify_log
from notary.window import Range
from tests.support.exports import VERIFIER, climb, run_verifier
from tests.support.history import History, append
from tests.support.log import events_after
from tests.support.vault import VAULT
from tests.unit.builders import NOON, context


@pytest.fixture
def history():
    return History(seed=3)


@pytest.fixture
def log(store, conn, history):
    """Stores several blocks and checkpoints, a retired key and gaps; returns the last position."""
    last = 0
    for _ in range(3):
        last = append(store, [[event for events in history.grow(400) for event in events]])
        conn.execute("SELECT nextval('es.stored_events_notification_id_seq')")
        sign_log(conn, VAULT)
    rotate_key(conn, VAULT)
    return last


def export(pool, conn, folder, first=1, last=None, file_format="ndjson"):
    chosen = find_range(conn, VAULT, first, last)
    pieces = list(data(pool, chosen, file_format))
    files = folder / f"export.{file_format}", folder / "manifest.json"
    files[0].write_bytes(b"".join(pieces))
    files[1].write_bytes(manifest(conn, VAULT, chosen, digest(pieces, file_format)))
    return files


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("first", "last"), [(1, None), (1, 1), (200, 900), (400, 450), (2, 1_240)])
def test_the_verifier_accepts_every_range(pool, conn, log, tmp_path, file_format, first, last):
    done = run_verifier(*export(pool, conn, tmp_path, first, last, file_format))

    assert done.returncode == 0, done.stderr
    assert "as signed" in done.stdout


def test_a_range_is_exported_with_the_same_bytes_each_time(pool, conn, log, store, history, tmp_path):
    before = [file.read_bytes() for file in export(pool, conn, tmp_path, 5, 900)]
    append(store, history.grow(20))
    sign_log(conn, VAULT)

    assert [file.read_bytes() for file in export(pool, conn, tmp_path, 5, 900)] == before


def test_two_neighbouring_ranges_have_the_bytes_of_the_whole(pool, conn, log):
    whole, first, second = (
        b"".join(data(pool, chosen, "ndjson")) for chosen in (Range(1, log), Range(1, 500), Range(501, log))
    )

    assert first + second == whole


def test_a_range_without_an_end_ends_at_the_last_checkpoint_and_a_later_end_is_signed_first(
    store, conn, log, history
):
    later = append(store, history.grow(5))

    assert find_range(conn, VAULT, 1, None).last == log
    assert find_range(conn, VAULT, 1, later).last == later


@pytest.mark.parametrize(
    ("first", "last", "field", "words"),
    [(9, 3, "from", "reversed"), (1, 10**9, "to", "ends at"), (10**9, None, "from", "ends at")],
)
def test_an_invalid_range_is_refused(conn, log, first, last, field, words):
    with pytest.raises(Invalid) as refused:
        find_range(conn, VAULT, first, last)

    assert words in refused.value.details[field][0]


FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def time_of(store, position):
    return events_after(store, position - 1, 1)[0].event.occurred_at


def positions_between(store, since, until):
    """The positions of the events between two times, found by reading every event."""
    return [
        position
        for position, event in events_after(store, 0, 10_000)
        if (since is None or event.occurred_at >= since) and (until is None or event.occurred_at < until)
    ]


def positions_in(file):
    if file.suffix == ".csv":
        return [int(line.split(",")[0]) for line in file.read_text().splitlines()[1:]]
    return [json.loads(line)["position"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("first", "last"), [(1, 900), (300, 420), (437, 438), (None, 700), (700, None)])
def test_a_range_by_time_contains_the_events_of_that_time_and_is_accepted(
    pool, conn, log, store, history, tmp_path, file_format, first, last
):
    since, until = (one and time_of(store, one) for one in (first, last))

    files = export(pool, conn, tmp_path, since or 1, until, file_format)

    done = run_verifier(*files)
    assert positions_in(files[0]) == positions_between(store, since, until) != []
    assert (done.returncode, "Only events that occurred from" in done.stdout) == (0, True), done.stderr


def test_every_event_is_in_one_of_two_neighbouring_ranges_by_time(pool, conn, log, store, tmp_path):
    border = time_of(store, 433)

    before, after = (
        positions_in(export(pool, conn, tmp_path, *ends)[0]) for ends in ((1, border), (border, None))
    )

    assert sorted([*before, *after]) == positions_between(store, None, None)
    assert 433 in after


def open_ticket(store, number, at):
    """Opens a ticket at that time; returns its position."""
    fields = dict.fromkeys(("title", "description", "category", "property_id", "requester_id"), "imported")
    ticket = Ticket.open(f"late{number}", context(at=at), priority="low", unit_id=None, **fields)
    store.save(ticket)
    return ticket.position


def test_events_far_out_of_order_are_exported_without_the_events_between(pool, conn, log, store, tmp_path):
    since, until = time_of(store, 10), time_of(store, 20)
    late = [open_ticket(store, number, at) for number, at in enumerate((since, until, since, until))]
    sign_log(conn, VAULT)

    files = export(pool, conn, tmp_path, since, until)

    found = positions_in(files[0])
    assert found == positions_between(store, since, until)
    assert found[-2:] == [late[0], late[2]]
    assert run_verifier(*files).returncode == 0


def test_an_event_stored_later_changes_a_range_by_time_only_at_its_end(pool, conn, log, store, tmp_path):
    since, until = time_of(store, 300), time_of(store, 420)
    before = [file.read_bytes() for file in export(pool, conn, tmp_path, since, until)]
    open_ticket(store, 1, until)
    sign_log(conn, VAULT)
    others = [file.read_bytes() for file in export(pool, conn, tmp_path, since, until)]
    open_ticket(store, 2, since)
    sign_log(conn, VAULT)

    one_more = export(pool, conn, tmp_path, since, until)[0].read_bytes()

    assert others == before
    assert one_more.startswith(before[0])
    assert one_more.count(b"\n") == before[0].count(b"\n") + 1


def test_blocks_without_times_are_read(pool, conn, log, store, tmp_path):
    since, until = time_of(store, 300), time_of(store, 420)
    before = export(pool, conn, tmp_path, since, until)[0].read_bytes()
    conn.execute("ALTER TABLE notary.pages DISABLE TRIGGER ALL")
    conn.execute("UPDATE notary.pages SET earliest_at = NULL, latest_at = NULL")

    assert export(pool, conn, tmp_path, since, until)[0].read_bytes() == before
    assert verify_log(conn, {}, lambda done, total: None).findings == []


def test_altered_times_of_a_block_are_reported(conn, log):
    conn.execute("ALTER TABLE notary.pages DISABLE TRIGGER ALL")
    conn.execute("UPDATE notary.pages SET latest_at = earliest_at WHERE number = 2")

    (finding,) = verify_log(conn, {}, lambda done, total: None).findings

    assert "block 2 does not have the times" in finding.problem


def test_missing_and_added_events_of_a_range_by_time_are_detected(pool, conn, log, store, tmp_path):
    files = export(pool, conn, tmp_path, time_of(store, 300), time_of(store, 900))
    lines = files[0].read_bytes().splitlines(keepends=True)
    next_block = next(number for number, position in enumerate(positions_in(files[0])) if position > 433)
    outside = b"".join(data(pool, Range(950, 950), "ndjson"))
    for altered in (lines[1:], lines[:-1], lines[:next_block], lines[next_block:], [*lines, outside], []):
        files[0].write_bytes(b"".join(altered))
        assert run_verifier(*files).returncode == 1


@pytest.mark.parametrize(
    ("first", "last", "field", "words"),
    [
        (500, 400, "from", "reversed"),  # positions below are replaced by their times
        (400, 400, "from", "reversed or empty"),
        (None, FUTURE, "to", "in the future"),
        (FUTURE, None, "from", "in the future"),
        (FUTURE, 3, "from", "in the future"),
    ],
)
def test_an_invalid_range_by_time_is_refused(conn, log, store, first, last, field, words):
    ends = [time_of(store, end) if isinstance(end, int) and end > 3 else end for end in (first, last)]

    with pytest.raises(Invalid) as refused:
        find_range(conn, VAULT, ends[0] or 1, ends[1])

    assert words in refused.value.details[field][0]


def test_a_range_may_have_a_position_and_a_time_unless_it_is_reversed(pool, conn, log, store, tmp_path):
    at = time_of(store, 700)
    up_to = export(pool, conn, tmp_path, 650, at)
    assert positions_in(up_to[0]) == [p for p in positions_between(store, None, at) if p >= 650]
    assert run_verifier(*up_to).returncode == 0
    since = export(pool, conn, tmp_path, at, 750)
    assert positions_in(since[0]) == [p for p in positions_between(store, at, None) if p <= 750]
    assert run_verifier(*since).returncode == 0

    for first, last in ((750, at), (at, 650)):
        with pytest.raises(Invalid, match="reversed"):
            find_range(conn, VAULT, first, last)


def test_a_range_by_time_without_events_is_refused(conn, log, store):
    before, after = NOON - timedelta(days=2), NOON + timedelta(days=2)
    for first, last, words in (
        (before, NOON - timedelta(days=1), "No event occurred from 2025-12-30T12:00:00Z up to before"),
        (1, before, "No event occurred before 2025-12-30T12:00:00Z."),
        (after, None, "No event occurred at 2026-01-03T12:00:00Z or later."),
    ):
        with pytest.raises(Invalid, match=words):
            find_range(conn, VAULT, first, last)


def test_a_later_end_by_time_is_signed_first_and_an_earlier_end_is_not(store, conn, log):
    signed = read_end(conn).position
    open_ticket(store, 1, NOON)
    assert find_range(conn, VAULT, NOON, NOON + timedelta(days=1)).last == signed

    later = open_ticket(store, 2, datetime.now(UTC))
    assert find_range(conn, VAULT, 1, datetime.now(UTC)).last == later


@pytest.mark.parametrize("file_format", FORMATS)
def test_any_altered_byte_of_the_data_is_detected(pool, conn, log, tmp_path, file_format):
    files = export(pool, conn, tmp_path, 300, 420, file_format)
    whole = files[0].read_bytes()
    for at in range(0, len(whole), len(whole) // 25):
        files[0].write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert run_verifier(*files).returncode == 1, at


def test_missing_and_exchanged_events_are_detected(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path, 300, 420)
    lines = files[0].read_bytes().splitlines(keepends=True)
    exchanged = [lines[1], lines[0], *lines[2:]]
    for altered in (lines[:-1], lines[1:], lines[:5] + lines[6:], exchanged, [], lines * 2):
        files[0].write_bytes(b"".join(altered))
        assert run_verifier(*files).returncode == 1


def test_an_altered_manifest_is_detected(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path, 300, 420)
    original = json.loads(files[1].read_text())
    for name, value in original.items():
        altered = original | {name: [] if isinstance(value, list) else "x"}
        files[1].write_text(json.dumps(altered))
        assert run_verifier(*files).returncode == 1, name


@pytest.mark.parametrize(
    ("name", "value"),
    [("position", '"300"'), ("position", "null"), ("version", "9" * 30), ("version", '"1"'), ("type", "[]")],
)
def test_a_value_of_another_type_in_the_data_is_detected(pool, conn, log, tmp_path, name, value):
    files = export(pool, conn, tmp_path, 300, 420)
    lines = files[0].read_text()
    original = json.dumps(json.loads(lines.partition("\n")[0])[name])
    files[0].write_text(lines.replace(f'"{name}":{original}', f'"{name}":{value}', 1))

    done = run_verifier(*files)

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith("NOT AS SIGNED: ")


@pytest.mark.parametrize("content", ["[]", "null", "7", "", '{"kind": "ticketing export 1", "keys": [1]}'])
def test_an_invalid_manifest_is_refused(pool, conn, log, tmp_path, content):
    files = export(pool, conn, tmp_path, 300, 420)
    files[1].write_text(content)

    done = run_verifier(*files)

    assert (done.returncode, done.stderr.startswith("NOT AS SIGNED: ")) == (1, True)


def test_the_first_key_can_be_pinned(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path)
    first_key = json.loads(json.loads(files[1].read_text())["keys"][0])["key"]

    assert run_verifier(*files, first_key).returncode == 0
    assert run_verifier(*files, "0123456789abcdef").returncode == 1
    assert run_verifier(tmp_path / "nothing", files[1]).returncode == 2


def test_an_export_takes_little_memory(pool, conn, log):
    chosen = Range(1, log)
    tracemalloc.start()
    for _ in data(pool, chosen, "ndjson"):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_one_event_is_proved_up_to_a_signed_checkpoint(conn, log, store):
    for event in (events_after(store, 0, 1)[0].event, events_after(store, 700, 1)[0].event):
        proof = prove(conn, event.event_id)

        stored = base64.b64decode(proof["stored"])
        row = (proof["position"], proof["aggregate_id"], proof["version"], proof["type"], stored)
        steps = [merkle.Step(step["left"], bytes.fromhex(step["hash"])) for step in proof["path"]]
        chain = bytes.fromhex(proof["chain_before"])
        for number, first, last, events, root in proof["pages"]:
            chain = merkle.link(
                chain,
                number=number,
                first_position=first,
                last_position=last,
                events=events,
                root=bytes.fromhex(root),
            )
        assert climb(merkle.leaf(*row), steps).hex() == proof["root"] == proof["pages"][0][4]
        assert chain.hex() == json.loads(proof["checkpoint"])["chain"]


def test_an_event_that_is_not_chained_or_signed_has_no_proof(conn, log, store, history):
    append(store, history.grow(3))
    event_id = events_after(store, log, 1)[0].event.event_id

    with pytest.raises(NotFound):
        prove(conn, event_id)
    chain_next(conn, VAULT)
    with pytest.raises(Conflict):
        prove(conn, event_id)


def test_the_verifier_is_short_and_needs_only_the_standard_library():
    lines = VERIFIER.read_text().splitlines()

    assert len(lines) <= 200
    imported = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
    assert imported <= sys.stdlib_module_names


def test_the_verifier_runs_on_python_3_8():
    """Parses it with that grammar, and finds two features of later versions that the parser accepts."""
    nodes = list(ast.walk(ast.parse(VERIFIER.read_text(), feature_version=(3, 8))))

    assert not any(isinstance(node, ast.BitOr) for node in nodes), "dicts are joined with | since 3.9"
    assert not any(isinstance(node, ast.keyword) and node.arg == "strict" for node in nodes)
