"""Stores the files of attachments in a local folder or in an S3-compatible bucket."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, Protocol, cast

from infrastructure.settings import Settings

ATTACHMENT_BYTES = 25 * 1024 * 1024
CHUNK_BYTES = 65_536
MEMORY_BYTES = 65_536  # of an upload to the bucket; the rest is in a temporary file
CONNECT_SECONDS = 2
READ_SECONDS = 10
ATTEMPTS = 3
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TooLarge(Exception):
    """The stream is longer than the limit; nothing was stored."""


class NoSuchFile(Exception):
    """No file is stored for this id."""


class AttachmentsUnavailable(Exception):
    """The disk or the bucket failed, so it is unknown whether the file exists."""


class StoredFile(NamedTuple):
    size_bytes: int
    sha256: str


class OpenedFile(NamedTuple):
    """`stream` has read(size) and close(). The caller must close it."""

    stream: IO[bytes]
    size_bytes: int


class AttachmentStore(Protocol):
    """Stores files by attachment id, [A-Za-z0-9_-]{1,64}. All methods may raise AttachmentsUnavailable."""

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        """Store the content of the stream durably, replacing an existing file. Raises TooLarge above `limit`
        bytes. On an error nothing is stored.
        """

    def open(self, attachment_id: str) -> OpenedFile:
        """Open the file for reading. Raises NoSuchFile."""

    def delete(self, attachment_id: str) -> None:
        """Delete the file, if there is one."""


def make_attachment_store(settings: Settings) -> AttachmentStore:
    """The store in the bucket of the settings, or else in a folder of TICKETING_HOME."""
    if settings.attachments_s3_bucket:
        return BucketAttachments(settings.attachments_s3_bucket, settings.attachments_s3_endpoint)
    return DiskAttachments(settings.attachments_dir)


class DiskAttachments:
    """Stores each attachment in a file named by its id. A file with a dot in its name is an incomplete upload
    of a killed process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        path = self._folder / _key(attachment_id)
        reader = _MeasuringReader(stream, limit)
        with disk_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix="upload.", delete=False) as file:
                try:
                    while chunk := reader.read(CHUNK_BYTES):
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
            _sync_folder(self._folder)
        return reader.result()

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
    """Stores each attachment in an object named by its id. boto3 finds the credentials as usual."""

    def __init__(self, bucket: str, endpoint: str | None) -> None:
        # Imported here, because boto3 takes as long to load as all other modules together.
        import boto3
        from botocore.config import Config

        session = boto3.session.Session()
        self._bucket = bucket
        self._client: Any = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=session.region_name or "us-east-1",
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                s3={"addressing_style": "path"} if endpoint else None,
                # Not every compatible server supports newer checksums; the event contains the SHA-256.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, attachment_id: str, stream: BinaryIO, limit: int = ATTACHMENT_BYTES) -> StoredFile:
        """Copy the stream to a temporary file first: boto3 sends a file in small pieces, and can send it
        again, but reads other streams into memory."""
        key, reader = _key(attachment_id), _MeasuringReader(stream, limit)
        with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as file:
            with disk_errors():
                while chunk := reader.read(CHUNK_BYTES):
                    file.write(chunk)
                file.seek(0)
            with _bucket_errors(attachment_id):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=file)
        return reader.result()

    def open(self, attachment_id: str) -> OpenedFile:
        with _bucket_errors(attachment_id):
            found = self._client.get_object(Bucket=self._bucket, Key=_key(attachment_id))
        stream = cast(IO[bytes], _BucketStream(found["Body"], attachment_id))
        return OpenedFile(stream, found["ContentLength"])

    def delete(self, attachment_id: str) -> None:
        with _bucket_errors(attachment_id):
            self._client.delete_object(Bucket=self._bucket, Key=_key(attachment_id))

    def require_bucket(self) -> None:
        """Raise AttachmentsUnavailable unless the bucket exists and answers these credentials."""
        try:
            with _bucket_errors(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
        except NoSuchFile:
            raise AttachmentsUnavailable(f"There is no bucket {self._bucket}") from None


class _BucketStream(io.RawIOBase):
    """The content of an object. `read` raises AttachmentsUnavailable when the connection breaks off."""

    def __init__(self, body: Any, attachment_id: str) -> None:
        self._body = body
        self._attachment_id = attachment_id

    def read(self, size: int = -1) -> bytes:
        with _bucket_errors(self._attachment_id):
            return bytes(self._body.read(size if size >= 0 else None))

    def close(self) -> None:
        self._body.close()
        super().close()


class _MeasuringReader:
    """Reads a stream, computes its size and SHA-256, and raises TooLarge above the limit."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._size_bytes = 0
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read exactly `size` bytes, fewer only at the end."""
        # One byte more than the limit, to notice that it is exceeded.
        allowed = self._limit - self._size_bytes + 1
        wanted = allowed if size < 0 else min(size, allowed)
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
    """The id, which is safe as a file name. Raises NoSuchFile if it is malformed."""
    if not _KEY.fullmatch(attachment_id):
        raise NoSuchFile(attachment_id)
    return attachment_id


def _sync_folder(folder: Path) -> None:
    """Make the names of the folder's files durable; fsync of a file makes only its content durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise AttachmentsUnavailable for each OSError in the block."""
    try:
        yield
    except OSError as error:
        raise AttachmentsUnavailable(str(error)) from error


@contextmanager
def _bucket_errors(attachment_id: str) -> Iterator[None]:
    """Raise NoSuchFile or AttachmentsUnavailable for each error of boto3 in the block."""
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
