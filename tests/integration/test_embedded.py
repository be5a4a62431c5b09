"""The embedded PostgreSQL starts again after it was killed, and as root without changing the system."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from infrastructure.storage.embedded import start_embedded
from infrastructure.storage.postgres import connect


@pytest.fixture
def server(tmp_path):
    started = start_embedded(tmp_path / "postgres")
    yield started
    started.stop()


def test_a_killed_server_starts_again_although_one_of_its_processes_cannot_end(server):
    """The test suspends that process; waiting for a disk or for another process has the same effect."""
    with connect(server.dsn(), application="tests") as conn:
        stuck = psutil.Process(conn.info.backend_pid)
        stuck.suspend()
        postmaster = psutil.Process(server.pid)
        postmaster.kill()
        psutil.wait_procs([postmaster], timeout=60)
        try:
            server.start_again()
        finally:
            if stuck.is_running():
                stuck.kill()

    with connect(server.dsn(), application="tests") as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert not stuck.is_running()


def folders_above(path):
    return {folder: stat.S_IMODE(folder.stat().st_mode) for folder in path.parents}


def test_a_first_start_creates_no_account_and_changes_no_folder_that_the_server_can_enter(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest creates them for this user only
        folder.chmod(0o711)
    accounts, folders = Path("/etc/passwd").read_bytes(), folders_above(tmp_path / "postgres")
    announced = []

    server = start_embedded(tmp_path / "postgres", announce=announced.append)
    owner = (server.data_dir / "PG_VERSION").stat().st_uid
    server.stop()

    assert announced == []
    assert Path("/etc/passwd").read_bytes() == accounts
    assert folders_above(tmp_path / "postgres") == folders
    assert owner != 0
    assert os.geteuid() in (0, owner)


def test_permissions_are_announced_before_they_are_changed(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    announced = []

    def announce(text):
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        announced.append(text)

    start_embedded(closed / "postgres", announce=announce).stop()

    is_root = os.geteuid() == 0
    assert [f"{closed}" in text for text in announced] == ([True] if is_root else [])
    assert stat.S_IMODE(closed.stat().st_mode) == (0o701 if is_root else 0o700)
