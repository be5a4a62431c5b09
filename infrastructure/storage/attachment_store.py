"""Where the bytes of attachments are kept: a folder on local disk, or an S3-compatible bucket."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, Protocol

from infrastructure.settings import Settings

ATTACHMENT_BYTES = 25 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
PART_BYTES = 8 * 1024 * 1024  # a larger file goes to the bucket in parts of this size
CONNECT_SECONDS = 2
READ_SECONDS = 10
ATTEMPTS = 3
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TooLarge(Exception):
    """The stream holds more than the limit; nothing was kept."""


class NoSuchFile(Exception):
    """Nothing is kept under that id."""


class AttachmentsUnavailable(Exception):
    """The disk or the bucket does not work now; nothing can be said about the file."""


class StoredFile(NamedTuple):
    size_bytes: int
    sha256: str


class OpenedFile(NamedTuple):
    """`stream` has read(size) and close(), and must be closed."""

    stream: IO[bytes]
    size_bytes: int


class AttachmentStore(Protocol):
    """Keeps files by attachment id, [A-Za-z0-9_-]{1,64}."""

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        """Keep what the stream holds, durably once this returns; raise TooLarge past `limit` bytes.

        A file is there wholly or not at all. Putting an id again replaces its file.
        """

    def open(self, attachment_id: str) -> OpenedFile:
        """The file, for reading; raise NoSuchFile."""

    def delete(self, attachment_id: str) -> None:
        """Forget the file, if there is one."""


def make_attachment_store(settings: Settings) -> AttachmentStore:
    """The bucket when one is set, or else the folder of TICKETING_HOME."""
    if settings.attachments_s3_bucket:
        return BucketAttachments(settings.attachments_s3_bucket, settings.attachments_s3_endpoint)
    return DiskAttachments(settings.attachments_dir)


class DiskAttachments:
    """A file each, named by the attachment id. A name with a dot is left from an upload that was killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        path = self._folder / _key(attachment_id)
        measured = _Measured(stream, limit)
        with disk_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix="upload.", delete=False) as file:
                try:
                    while chunk := measured.read(CHUNK_BYTES):
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
            _sync_folder(self._folder)
        return measured.result()

    def open(self, attachment_id: str) -> OpenedFile:
        path = self._folder / _key(attachment_id)
        with disk_errors():
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise NoSuchFile(attachment_id) from None
            return OpenedFile(file, os.fstat(file.fileno()).st_size)

    def delete(self, attachment_id: str) -> None:
        with disk_errors():
            (self._folder / _key(attachment_id)).unlink(missing_ok=True)


class BucketAttachments:
    """An object each, named by the attachment id. boto3 finds the credentials where it always looks."""

    def __init__(self, bucket: str, endpoint: str | None) -> None:
        # Imported here: it takes as long to load as everything else together, and most never need it.
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        session = boto3.session.Session()
        self._bucket = bucket
        self._transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
        )
        self._client: Any = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=session.region_name or "us-east-1",
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                s3={"addressing_style": "path"} if endpoint else None,
                # Not every compatible server knows the newer checksums; ours is kept with the event.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        measured = _Measured(stream, limit)
        with _bucket_errors(attachment_id):
            self._client.upload_fileobj(measured, self._bucket, _key(attachment_id), Config=self._transfer)
        return measured.result()

    def open(self, attachment_id: str) -> OpenedFile:
        with _bucket_errors(attachment_id):
            found = self._client.get_object(Bucket=self._bucket, Key=_key(attachment_id))
        return OpenedFile(found["Body"], found["ContentLength"])

    def delete(self, attachment_id: str) -> None:
        with _bucket_errors(attachment_id):
            self._client.delete_object(Bucket=self._bucket, Key=_key(attachment_id))


class _Measured:
    """Counts and digests what is read through it, and refuses to read past the limit."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._size_bytes = 0
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes unless the stream ends: boto3 takes a shorter answer for the end."""
        room = self._limit - self._size_bytes + 1  # one byte more than fits shows that there is more
        wanted = room if size < 0 else min(size, room)
        chunks = bytearray()
        while len(chunks) < wanted and (chunk := self._stream.read(wanted - len(chunks))):
            chunks += chunk
        self._size_bytes += len(chunks)
        if self._size_bytes > self._limit:
            raise TooLarge(self._limit)
        self._sha256.update(chunks)
        return bytes(chunks)

    def result(self) -> StoredFile:
        return StoredFile(self._size_bytes, self._sha256.hexdigest())


def _key(attachment_id: str) -> str:
    """The id, which is safe as a file name; raise NoSuchFile for what was never an id."""
    if not _KEY.fullmatch(attachment_id):
        raise NoSuchFile(attachment_id)
    return attachment_id


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, not only the bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Have what goes wrong with a disk raised as AttachmentsUnavailable."""
    try:
        yield
    except OSError as error:
        raise AttachmentsUnavailable(str(error)) from error


@contextmanager
def _bucket_errors(attachment_id: str) -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            raise NoSuchFile(attachment_id) from None
        raise AttachmentsUnavailable(str(error)) from error
    except (BotoCoreError, Boto3Error) as error:
        raise AttachmentsUnavailable(str(error)) from error
