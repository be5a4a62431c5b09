"""The attachment stores: the same tests on local disk and on an S3 server (moto, over HTTP)."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cli.doctor.storage import check_bucket
from infrastructure.settings import load_settings
from infrastructure.storage.attachment_store import (
    ATTACHMENT_BYTES,
    AttachmentsUnavailable,
    BucketAttachments,
    DiskAttachments,
    NoSuchFile,
    StoredFile,
    TooLarge,
    make_attachment_store,
)

BUCKET = "attachments"


@pytest.fixture(scope="module")
def s3_endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")


@pytest.fixture
def bucket(s3_endpoint, credentials):
    """The boto3 resource of an empty bucket."""
    s3 = boto3.resource("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    created = s3.create_bucket(Bucket=BUCKET)
    yield created
    created.objects.delete()
    created.delete()


@pytest.fixture(params=["disk", "s3"])
def environment(request, tmp_path):
    """The environment variables of a process that stores attachments on disk or in S3."""
    if request.param == "disk":
        return {"TICKETING_HOME": str(tmp_path)}
    request.getfixturevalue("bucket")
    return {
        "TICKETING_HOME": str(tmp_path),
        "ATTACHMENTS_S3_BUCKET": BUCKET,
        "ATTACHMENTS_S3_ENDPOINT": request.getfixturevalue("s3_endpoint"),
    }


@pytest.fixture
def attachments(environment):
    return make_attachment_store(load_settings(environment))


class Upload(io.RawIOBase):
    """A request body: it cannot be rewound, and a read may return fewer bytes than requested."""

    def __init__(self, content: bytes, breaks_at: int | None = None) -> None:
        self._rest = io.BytesIO(content)
        self._breaks_at = breaks_at

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._breaks_at is not None and self._rest.tell() >= self._breaks_at:
            raise ConnectionResetError("the client has disconnected")
        return self._rest.read(min(size, 100_000) if size >= 0 else 100_000)


def content_of(attachments, attachment_id):
    stream, size_bytes = attachments.open(attachment_id)
    try:
        content = b"".join(iter(lambda: stream.read(64 * 1024), b""))
    finally:
        stream.close()
    assert size_bytes == len(content)
    return content


@pytest.mark.parametrize("size", [0, 1, 100_000, 9_000_000, ATTACHMENT_BYTES])
def test_a_file_is_read_as_it_was_stored(attachments, size):
    content = os.urandom(size)

    stored = attachments.put("a1", Upload(content))

    assert stored == StoredFile(size, hashlib.sha256(content).hexdigest())
    assert content_of(attachments, "a1") == content


@pytest.mark.parametrize(("size", "limit"), [(ATTACHMENT_BYTES + 1, ATTACHMENT_BYTES), (11, 10), (1, 0)])
def test_a_file_that_is_too_large_leaves_nothing_behind(attachments, stored_names, size, limit):
    with pytest.raises(TooLarge):
        attachments.put("a1", Upload(bytes(size)), limit)

    assert stored_names() == []


@pytest.mark.parametrize("breaks_at", [100_000, 9_000_000])
def test_an_interrupted_upload_leaves_nothing_behind(attachments, stored_names, breaks_at):
    with pytest.raises((ConnectionResetError, AttachmentsUnavailable)):
        attachments.put("a1", Upload(bytes(10_000_000), breaks_at))

    assert stored_names() == []


@pytest.fixture
def stored_names(environment, request):
    """Returns a function that lists the names of all stored files, unfinished uploads included."""
    if "ATTACHMENTS_S3_BUCKET" not in environment:
        folder = Path(environment["TICKETING_HOME"]) / "attachments"
        return lambda: sorted(path.name for path in folder.iterdir())
    bucket = request.getfixturevalue("bucket")
    return lambda: [
        *(item.key for item in bucket.objects.all()),
        *(upload.object_key for upload in bucket.multipart_uploads.all()),
    ]


def test_a_file_stored_again_is_replaced(attachments, stored_names):
    attachments.put("a1", Upload(b"first, and longer"))
    attachments.put("a1", Upload(b"second"))

    assert content_of(attachments, "a1") == b"second"
    assert stored_names() == ["a1"]


def test_a_failed_replacement_leaves_the_file_as_it_was(attachments):
    attachments.put("a1", Upload(b"first"))

    with pytest.raises(TooLarge):
        attachments.put("a1", Upload(b"far too long"), 5)

    assert content_of(attachments, "a1") == b"first"


def test_a_deleted_file_is_gone_and_may_be_deleted_again(attachments, stored_names):
    attachments.put("a1", Upload(b"x"))
    attachments.put("a2", Upload(b"y"))

    attachments.delete("a1")
    attachments.delete("a1")

    with pytest.raises(NoSuchFile):
        attachments.open("a1")
    assert stored_names() == ["a2"]


@pytest.mark.parametrize("attachment_id", ["", "..", "../a1", "a/b", "a.b", "a\x00", "é", "a" * 65, "a1\n"])
def test_an_invalid_id_names_no_file(attachments, attachment_id):
    for work in (
        lambda: attachments.open(attachment_id),
        lambda: attachments.delete(attachment_id),
        lambda: attachments.put(attachment_id, Upload(b"x")),
    ):
        with pytest.raises(NoSuchFile):
            work()


def test_settings_choose_the_store(tmp_path, credentials):
    home = {"TICKETING_HOME": str(tmp_path)}

    assert isinstance(make_attachment_store(load_settings(home)), DiskAttachments)
    bucket = make_attachment_store(load_settings({**home, "ATTACHMENTS_S3_BUCKET": BUCKET}))
    assert isinstance(bucket, BucketAttachments)


def test_only_the_owner_can_read_files_on_disk(tmp_path):
    DiskAttachments(tmp_path / "attachments").put("a1", Upload(b"x"))

    assert (tmp_path / "attachments").stat().st_mode & 0o077 == 0
    assert (tmp_path / "attachments" / "a1").stat().st_mode & 0o077 == 0


def test_a_failing_disk_raises_attachments_unavailable(tmp_path):
    (tmp_path / "attachments").write_text("a file where the folder should be")

    with pytest.raises(AttachmentsUnavailable):
        DiskAttachments(tmp_path / "attachments").put("a1", Upload(b"x"))


def test_an_unreachable_bucket_raises_attachments_unavailable(credentials):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    attachments = BucketAttachments(BUCKET, f"http://127.0.0.1:{port}")

    for work in (
        lambda: attachments.open("a1"),
        lambda: attachments.put("a1", Upload(b"x")),
        lambda: attachments.delete("a1"),
    ):
        with pytest.raises(AttachmentsUnavailable):
            work()


def test_a_bucket_that_does_not_exist_is_unavailable_and_not_a_missing_file(s3_endpoint, credentials):
    with pytest.raises(AttachmentsUnavailable):
        BucketAttachments("no-such-bucket", s3_endpoint).open("a1")


def test_doctor_names_a_bucket_that_is_absent_or_does_not_answer(bucket, s3_endpoint):
    def check(**variables):
        names = {"ATTACHMENTS_S3_BUCKET": BUCKET, "ATTACHMENTS_S3_ENDPOINT": s3_endpoint}
        (finding,) = check_bucket(load_settings(names | variables))
        return finding

    absent = check(ATTACHMENTS_S3_BUCKET="other")
    silent = check(ATTACHMENTS_S3_ENDPOINT="http://127.0.0.1:1")

    assert check().level == "OK"
    assert (absent.level, absent.found) == ("PROBLEM", "other cannot be used: There is no bucket other.")
    assert silent.level == "PROBLEM"
    assert "ATTACHMENTS_S3_ENDPOINT" in silent.remedy
