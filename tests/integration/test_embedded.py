"""The embedded PostgreSQL starts again after it was killed."""

from __future__ import annotations

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
