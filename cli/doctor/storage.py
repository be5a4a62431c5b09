"""Checks the folders of this machine and the bucket of attachments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cli.doctor.finding import Finding, ok, problem, warning
from infrastructure.settings import Settings
from infrastructure.storage.attachment_store import AttachmentsUnavailable, BucketAttachments
from infrastructure.storage.disk_space import LEAST_FREE_BYTES, has_room

LITTLE_FREE_BYTES = 4 * LEAST_FREE_BYTES
MIB = 1024 * 1024


def check_folders(settings: Settings) -> list[Finding]:
    """A finding for each folder that the processes write to."""
    folders = {"TICKETING_HOME": settings.home, "NOTARY_DIR": settings.notary_dir}
    if not settings.attachments_s3_bucket:
        folders["attachments"] = settings.attachments_dir
    findings = [_judge_folder(name, folder, must_write=True) for name, folder in folders.items()]
    findings.append(_judge_folder("temporary files", Path(tempfile.gettempdir()), must_write=True))
    if settings.postgres_data_dir is not None:
        findings.append(_judge_data_dir(settings.postgres_data_dir))
    return findings


def _judge_folder(name: str, folder: Path, *, must_write: bool) -> Finding:
    """The finding for a folder. One that is absent is judged by the folder in which it will be created."""
    check = f"disk of {name}"
    existing = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    if not existing.is_dir():
        return problem(check, f"{existing} is not a folder.", "Remove it, or set another folder.")
    if must_write and not os.access(existing, os.W_OK | os.X_OK):
        remedy = "Give it to the user of the processes, or set another folder."
        return problem(check, f"{existing} cannot be written.", remedy)
    disk = os.statvfs(existing)
    text = f"{disk.f_bavail * disk.f_frsize // MIB:,} MiB are free in {existing}."
    remedy = "Free space, or use a larger disk."
    if not has_room(existing, LEAST_FREE_BYTES):
        least = LEAST_FREE_BYTES // MIB
        return problem(check, f"{text} Below {least} MiB, or without free files, writes are refused.", remedy)
    if not has_room(existing, LITTLE_FREE_BYTES):
        return warning(check, text, remedy)
    return ok(check, text)


def _judge_data_dir(folder: Path) -> Finding:
    try:
        os.statvfs(folder)
    except OSError as error:
        return problem(
            "disk of POSTGRES_DATA_DIR",
            f"{folder} cannot be examined ({error.strerror}), so writes are not refused when it is full.",
            "Correct POSTGRES_DATA_DIR, or remove it if PostgreSQL is on another machine.",
        )
    return _judge_folder("POSTGRES_DATA_DIR", folder, must_write=False)


def check_bucket(settings: Settings) -> Iterator[Finding]:
    if not settings.attachments_s3_bucket:
        return
    name = settings.attachments_s3_bucket
    try:
        BucketAttachments(name, settings.attachments_s3_endpoint).require_bucket()
    except AttachmentsUnavailable as error:
        remedy = "Check ATTACHMENTS_S3_BUCKET, ATTACHMENTS_S3_ENDPOINT and the credentials of boto3."
        yield problem("bucket", f"{name} cannot be used: {error}.", remedy)
    else:
        yield ok("bucket", f"{name} exists and answers.")
