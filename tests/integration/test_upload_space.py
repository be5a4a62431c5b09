"""An upload that does not fit on the disk is answered with 503, and the reason is logged."""

import errno
import tempfile

import pytest
from falcon.testing import TestClient
from structlog.testing import capture_logs

from api.http.resource import MAX_BODY_BYTES
from server.app import create_app
from tests.support.api import services_on
from tests.support.keys import bearer, make_key

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    + bytes(MAX_BODY_BYTES)  # with the lines around it, more than is held in memory
    + b"\r\n--b--\r\n"
)


@pytest.fixture
def client(database, tmp_path):
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services))


def test_without_room_for_temporary_files_an_upload_is_503(client, store, tmp_path, monkeypatch):
    headers = {**bearer(make_key(store).key), "Content-Type": "multipart/form-data; boundary=b"}

    with monkeypatch.context() as patches, capture_logs() as lines:
        patches.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        answer = client.simulate_post("/v1/tickets/t1/attachments", body=FORM, headers=headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    (reason,) = (line["reason"] for line in lines if line["event"] == "unavailable")
    assert reason.startswith(f"[Errno {errno.ENOENT}]")
