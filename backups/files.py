"""Files of a backup: written durably, and known by size and SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec

CHUNK_BYTES = 1 << 20


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup, by its path in the folder of the backup."""

    path: str
    size_bytes: int
    sha256: str


def chunks_of(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def store_file(folder: Path, path: str, chunks: Iterable[bytes]) -> BackupFile:
    """Write the chunks durably to a new file that only its owner can read."""
    digest, size_bytes = hashlib.sha256(), 0
    with open(os.open(folder / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size_bytes += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return BackupFile(path, size_bytes, digest.hexdigest())


def measure_file(folder: Path, path: str) -> BackupFile:
    """The size and SHA-256 of a file that exists. Raises OSError."""
    digest, size_bytes = hashlib.sha256(), 0
    with (folder / path).open("rb") as file:
        for chunk in chunks_of(file):
            digest.update(chunk)
            size_bytes += len(chunk)
    return BackupFile(path, size_bytes, digest.hexdigest())


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file durably, or nothing: an interrupted write leaves no file of this name."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    sync_folder(path.parent)  # the other files of the folder, before this one
    partial.replace(path)
    sync_folder(path.parent)


def clear_folder(folder: Path) -> None:
    """Delete everything in a folder that an interrupted backup has begun to fill."""
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names of the files of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
