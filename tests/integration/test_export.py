"""Exports are the same bytes each time, and a stranger's machine can tell that they are what was signed."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from domain.errors import Conflict, Invalid, NotFound
from infrastructure.privacy import process_vault
from notary import merkle
from notary.export import FORMATS, Range, data, digest, find_range, manifest
from notary.follower import chain_next, seal
from notary.proofs import prove
from notary.signing import rotate_key
from tests.support.history import History, append

VERIFIER = Path(__file__).parent.parent.parent / "tools" / "verify_export.py"


@pytest.fixture
def history():
    return History(seed=3)


@pytest.fixture
def log(store, conn, history):
    """Several pages and checkpoints, a retired key, a gap in the positions; the last position."""
    last = 0
    for _ in range(3):
        last = append(store, [[event for events in history.grow(400) for event in events]])
        conn.execute("SELECT nextval('es.stored_events_notification_id_seq')")
        seal(conn, process_vault())
    rotate_key(conn, process_vault())
    return last


def export(pool, conn, folder, first=1, last=None, format="ndjson"):
    chosen = find_range(conn, process_vault(), first, last)
    pieces = list(data(pool, chosen, format))
    files = folder / f"export.{format}", folder / "manifest.json"
    files[0].write_bytes(b"".join(pieces))
    files[1].write_bytes(manifest(conn, process_vault(), chosen, digest(pieces, format)))
    return files


def checked(files, *arguments):
    """What the stand-alone verifier says, in an interpreter without any of our packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", VERIFIER, *files, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("first", "last"), [(1, None), (1, 1), (200, 900), (400, 450), (2, 1_250)])
def test_every_range_is_as_signed(pool, conn, log, tmp_path, format, first, last):
    done = checked(export(pool, conn, tmp_path, first, last, format))

    assert done.returncode == 0, done.stderr
    assert "as signed" in done.stdout


def test_a_range_gives_the_same_bytes_each_time(pool, conn, log, store, history, tmp_path):
    before = [file.read_bytes() for file in export(pool, conn, tmp_path, 5, 900)]
    append(store, history.grow(20))
    seal(conn, process_vault())

    assert [file.read_bytes() for file in export(pool, conn, tmp_path, 5, 900)] == before


def test_two_halves_are_the_whole(pool, conn, log):
    whole, first, second = (
        b"".join(data(pool, chosen, "ndjson")) for chosen in (Range(1, log), Range(1, 500), Range(501, log))
    )

    assert first + second == whole


def test_without_an_end_it_ends_at_the_last_checkpoint_and_a_later_end_is_signed(store, conn, log, history):
    later = append(store, history.grow(5))

    assert find_range(conn, process_vault(), 1, None).last == log
    assert find_range(conn, process_vault(), 1, later).last == later


@pytest.mark.parametrize(
    ("first", "last", "field", "words"),
    [(9, 3, "from", "reversed"), (1, 10**9, "to", "ends at"), (10**9, None, "from", "ends at")],
)
def test_a_range_that_is_none_is_refused(conn, log, first, last, field, words):
    with pytest.raises(Invalid) as refused:
        find_range(conn, process_vault(), first, last)

    assert words in refused.value.details[field][0]


@pytest.mark.parametrize("format", FORMATS)
def test_any_altered_byte_of_the_data_is_found_out(pool, conn, log, tmp_path, format):
    files = export(pool, conn, tmp_path, 300, 420, format)
    whole = files[0].read_bytes()
    for at in range(0, len(whole), len(whole) // 25):
        files[0].write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert checked(files).returncode == 1, at


def test_missing_and_exchanged_events_are_found_out(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path, 300, 420)
    lines = files[0].read_bytes().splitlines(keepends=True)
    exchanged = [lines[1], lines[0], *lines[2:]]
    for altered in (lines[:-1], lines[1:], lines[:5] + lines[6:], exchanged, [], lines * 2):
        files[0].write_bytes(b"".join(altered))
        assert checked(files).returncode == 1


def test_an_altered_manifest_is_found_out(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path, 300, 420)
    original = json.loads(files[1].read_text())
    for name, value in original.items():
        altered = original | {name: [] if isinstance(value, list) else "x"}
        files[1].write_text(json.dumps(altered))
        assert checked(files).returncode == 1, name


def test_the_first_key_can_be_pinned(pool, conn, log, tmp_path):
    files = export(pool, conn, tmp_path)
    first_key = json.loads(json.loads(files[1].read_text())["keys"][0])["key"]

    assert checked(files, first_key).returncode == 0
    assert checked(files, "0123456789abcdef").returncode == 1
    assert checked((tmp_path / "nothing", files[1])).returncode == 2


def test_an_export_takes_little_memory(pool, conn, log):
    chosen = Range(1, log)
    tracemalloc.start()
    for _ in data(pool, chosen, "ndjson"):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_one_event_is_proved_up_to_a_signed_checkpoint(conn, log, store):
    for event in (store.events_after(0, 1)[0].event, store.events_after(700, 1)[0].event):
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
        assert merkle.climb(merkle.leaf(*row), steps).hex() == proof["root"] == proof["pages"][0][4]
        assert chain.hex() == json.loads(proof["checkpoint"])["chain"]


def test_what_is_not_chained_or_signed_is_not_proved(conn, log, store, history):
    append(store, history.grow(3))
    event_id = store.events_after(log, 1)[0].event.event_id

    with pytest.raises(NotFound):
        prove(conn, event_id)
    chain_next(conn, process_vault())
    with pytest.raises(Conflict):
        prove(conn, event_id)


def test_the_verifier_is_short_and_needs_nothing():
    lines = VERIFIER.read_text().splitlines()

    assert len(lines) <= 200
    imported = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
    assert imported <= sys.stdlib_module_names
