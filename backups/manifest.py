"""The manifest of a backup: what it contains, sealed with the master key of the installation.

It is written last, so a backup that was interrupted has none. The seal is the SHA-256 of the manifest,
encrypted with authentication: only a holder of the master key can make one.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from backups.files import BackupFile, write_file
from infrastructure.keys.vault import CannotDecrypt, Vault

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
ATTACHMENTS = "attachments"
STATEMENTS = "checkpoints.jsonl"
PACKAGE = "modern-management-ticketing"
_PURPOSE = "backup manifest"


class BackupRefused(Exception):
    """A backup or a target cannot be used; the message says what is wrong and what to do."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot of the database contains. It has every event up to the position `log_complete_to`, and
    `log_end` is the highest one: events of open transactions may be missing between them. With Kafka, the
    webhook dispatchers had handled the events up to `dispatched_to`."""

    installation_id: str
    server_version: int
    migrations: list[str]
    log_complete_to: int
    log_end: int
    events: int
    statements: int
    dispatched_to: int
    pending_deliveries: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`dump_major` is the major version of the pg_dump that was used. `removed_attachments` were removed
    from their tickets while the backup was written; `lost_attachments` are missing in the store, or are not
    the files of the log."""

    format: int
    program_version: str
    created_at: datetime
    dump_major: int
    facts: Facts
    files: list[BackupFile]
    removed_attachments: list[str]
    lost_attachments: list[str]


class _Sealed(msgspec.Struct, frozen=True):
    manifest: msgspec.Raw
    seal: str


class _Beginning(msgspec.Struct, frozen=True):
    format: int
    program_version: str


def program_version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # run from a folder that is not installed
        return "0"


def write_manifest(folder: Path, manifest: Manifest, vault: Vault) -> None:
    """Write the manifest durably, after all other files of the backup."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    seal = vault.encrypt(hashlib.sha256(body).digest(), purpose=_PURPOSE)
    sealed = _Sealed(msgspec.Raw(body), base64.b64encode(seal).decode())
    write_file(folder / MANIFEST, msgspec.json.encode(sealed) + b"\n")


def read_manifest(folder: Path, vault: Vault) -> Manifest:
    """Return the manifest of a backup. Raises BackupRefused."""
    path = folder / MANIFEST
    if not path.exists():
        raise BackupRefused(
            f"{folder} has no {MANIFEST}: it is no backup, or `ticketing backup` was interrupted. Use another"
            " backup."
        )
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        body = bytes(sealed.manifest)
        _require_seal(path, body, sealed.seal, vault)
        beginning = msgspec.json.decode(body, type=_Beginning)
        if beginning.format > FORMAT:
            raise BackupRefused(
                f"{path} has format {beginning.format}, which version {beginning.program_version} wrote. This"
                f" version, {program_version()}, reads formats up to {FORMAT}: restore with that version."
            )
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, ValueError):
        raise BackupRefused(f"{path} was altered or cut off. Use another backup.") from None


def _require_seal(path: Path, body: bytes, seal: str, vault: Vault) -> None:
    encrypted = base64.b64decode(seal, validate=True)
    try:
        digest = vault.decrypt(encrypted, purpose=_PURPOSE)
    except CannotDecrypt as error:
        raise BackupRefused(
            f"The seal of {path} cannot be decrypted: {error}. MASTER_KEY must be the key of the installation"
            " of this backup: set the key that was kept apart, or give its folder with --keys. If it is the"
            " right key, the manifest was altered: use another backup."
        ) from None
    if digest != hashlib.sha256(body).digest():
        raise BackupRefused(f"{path} was altered. Use another backup.")
