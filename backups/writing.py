"""Writes a backup into a folder: the dump, the attachments, the notary's statements, the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from backups.files import BackupFile, chunks_of, clear_folder, measure_file, store_file, sync_folder
from backups.manifest import (
    ATTACHMENTS,
    DUMP,
    FORMAT,
    STATEMENTS,
    BackupRefused,
    Manifest,
    program_version,
    write_manifest,
)
from backups.programs import Programs, find_programs, run_program
from backups.snapshot import APPLICATION, AttachedFile, Snapshot, open_snapshot, removed_since
from infrastructure.keys.vault import Vault
from infrastructure.storage.attachment_store import AttachmentStore, AttachmentsUnavailable, NoSuchFile

LOCK_WAIT_MILLISECONDS = 60_000  # for a migration that changes tables
_LEFT_OUT = ("--exclude-schema=read*", "--exclude-table-data=cache.snapshots", "--no-unlogged-table-data")

Progress = Callable[[int, int], None]


class Source(NamedTuple):
    """What is backed up. `dsn` connects as a role that can read every table."""

    dsn: str
    vault: Vault
    attachments: AttachmentStore
    statements: Iterable[str]


def write_backup(source: Source, folder: Path, show: Progress) -> Manifest:
    """Write a backup into a new or empty folder and return its manifest. Other processes may write meanwhile.

    Attachments are copied after the snapshot, so each one that it names exists: they never change, and are
    deleted only after their removal from the ticket. After an error the folder is empty again. Raises
    BackupRefused, ProgramsMissing and ProgramFailed.
    """
    make_empty_folder(folder)
    try:
        return _write_backup(source, folder, show)
    except OSError as error:
        clear_folder(folder)
        raise BackupRefused(
            f"{folder} cannot be written: {error.strerror}. Nothing is left in it. Free space, or name a"
            " folder on another disk, and back up again."
        ) from None
    except AttachmentsUnavailable as error:
        clear_folder(folder)
        raise BackupRefused(
            f"The attachments cannot be read: {error} Nothing is left in {folder}. Correct"
            " ATTACHMENTS_S3_BUCKET or ATTACHMENTS_S3_ENDPOINT, or wait until the folder or bucket can be"
            " read, and back up again."
        ) from None
    except BaseException:
        clear_folder(folder)
        raise


def _write_backup(source: Source, folder: Path, show: Progress) -> Manifest:
    with open_snapshot(source.dsn) as snapshot:
        programs = find_programs(snapshot.server_major)
        dump = _dump(programs, snapshot, source.dsn, folder)
    files, absent = _copy_attachments(source.attachments, snapshot.attached, folder, show)
    removed = removed_since(source.dsn, absent) if absent else set()
    statements = store_file(folder, STATEMENTS, (f"{line}\n".encode() for line in source.statements))
    manifest = Manifest(
        format=FORMAT,
        program_version=program_version(),
        created_at=datetime.now(UTC),
        dump_major=programs.major,
        facts=snapshot.facts,
        files=[dump, statements, *files],
        removed_attachments=sorted(removed),
        lost_attachments=[one for one in absent if one not in removed],
    )
    write_manifest(folder, manifest, source.vault)
    return manifest


def make_empty_folder(folder: Path) -> None:
    """Create the folder, for its owner only. Raises BackupRefused if it exists and is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(
            f"{folder} exists and is not an empty folder. Name a new folder; an interrupted backup can be"
            " deleted."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _dump(programs: Programs, snapshot: Snapshot, dsn: str, folder: Path) -> BackupFile:
    arguments = [
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        *_LEFT_OUT,
        f"--snapshot={snapshot.name}",
        f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}",
        f"--file={folder / DUMP}",
    ]
    run_program(programs, "pg_dump", arguments, dsn, application=APPLICATION)
    (folder / DUMP).chmod(0o600)
    return measure_file(folder, DUMP)


def _copy_attachments(
    store: AttachmentStore, attached: list[AttachedFile], folder: Path, show: Progress
) -> tuple[list[BackupFile], list[str]]:
    """Copy the files. Returns them, and the ids of those that are absent or not those of the log."""
    (folder / ATTACHMENTS).mkdir(mode=0o700)
    files: list[BackupFile] = []
    absent: list[str] = []
    for number, one in enumerate(attached, start=1):
        file = _copy_attachment(store, one, folder)
        if file is None:
            absent.append(one.attachment_id)
        else:
            files.append(file)
        show(number, len(attached))
    sync_folder(folder / ATTACHMENTS)
    return files, absent


def _copy_attachment(store: AttachmentStore, one: AttachedFile, folder: Path) -> BackupFile | None:
    path = f"{ATTACHMENTS}/{one.attachment_id}"
    try:
        opened = store.open(one.attachment_id)
    except NoSuchFile:
        return None
    try:
        file = store_file(folder, path, chunks_of(opened.stream))
    finally:
        opened.stream.close()
    if file.sha256 == one.sha256:
        return file
    (folder / path).unlink()
    return None
