"""Reads a backup: every check of it comes before anything is restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from backups.files import BackupFile, measure_file
from backups.manifest import (
    ATTACHMENTS,
    DUMP,
    STATEMENTS,
    BackupRefused,
    Manifest,
    program_version,
    read_manifest,
)
from infrastructure.keys.vault import Vault
from infrastructure.storage.attachment_store import AttachmentStore, NoSuchFile
from infrastructure.storage.migration_files import read_migrations

Progress = Callable[[int, int], None]


class _Numbered(msgspec.Struct, frozen=True):
    number: int


class Backup:
    """A backup whose files are complete and unaltered."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def dump(self) -> Path:
        return self.folder / DUMP

    @property
    def mark(self) -> str:
        """What identifies this backup in the database into which it is restored."""
        return self.manifest.files[0].sha256

    @property
    def statements_file(self) -> Path:
        """The notary's statements of the time when the backup ended, also those after the snapshot."""
        return self.folder / STATEMENTS

    def statements(self) -> list[str]:
        """The notary's statements that the snapshot contains."""
        lines = self.statements_file.read_text(encoding="utf-8").split("\n")[:-1]
        return [line for line in lines if msgspec.json.decode(line, type=_Numbered).number <= self._last]

    @property
    def _last(self) -> int:
        return self.manifest.facts.statements

    def attachments(self) -> Iterator[BackupFile]:
        return (file for file in self.manifest.files if file.path.startswith(f"{ATTACHMENTS}/"))

    def copy_attachments(self, store: AttachmentStore, show: Progress) -> int:
        """Copy the attachments that the store lacks, and return their number."""
        files, copied = list(self.attachments()), 0
        for number, file in enumerate(files, start=1):
            attachment_id = file.path.removeprefix(f"{ATTACHMENTS}/")
            if not _has(store, attachment_id, file.size_bytes):
                with (self.folder / file.path).open("rb") as stream:
                    store.put(attachment_id, stream, file.size_bytes)
                copied += 1
            show(number, len(files))
        return copied


def open_backup(folder: Path, vault: Vault, show: Progress) -> Backup:
    """Check the seal, the version and every file of a backup, and return it. Raises BackupRefused."""
    manifest = read_manifest(folder, vault)
    unknown = sorted(set(manifest.facts.migrations) - {one.name for one in read_migrations()})
    if unknown:
        raise BackupRefused(
            f"{folder} is a backup of version {manifest.program_version}, which is newer than this version,"
            f" {program_version()}: this one does not know the migration {unknown[-1]}. Restore with that"
            " version or a later one."
        )
    for number, file in enumerate(manifest.files, start=1):
        _require_unaltered(folder, file)
        show(number, len(manifest.files))
    return Backup(folder, manifest)


def _require_unaltered(folder: Path, file: BackupFile) -> None:
    path = folder / file.path
    try:
        found = measure_file(folder, file.path)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be read: {error.strerror}. Use another backup.") from None
    if found.size_bytes != file.size_bytes:
        raise BackupRefused(
            f"{path} has {found.size_bytes} bytes instead of {file.size_bytes}: it was cut off or replaced."
            " Use another backup."
        )
    if found.sha256 != file.sha256:
        raise BackupRefused(
            f"{path} was altered: its SHA-256 is not that of the manifest. Use another backup."
        )


def _has(store: AttachmentStore, attachment_id: str, size_bytes: int) -> bool:
    try:
        opened = store.open(attachment_id)
    except NoSuchFile:
        return False
    opened.stream.close()
    return opened.size_bytes == size_bytes
