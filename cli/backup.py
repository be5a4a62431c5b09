"""`ticketing backup`: writes the database, the attachments and the notary's statements into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backups.files import clear_folder, write_file
from backups.manifest import BackupRefused, Manifest
from backups.writing import Source, make_empty_folder, write_backup
from cli.database import database_address
from cli.output import Progress, note
from infrastructure.keys.vault import KEY_FILE, load_vault
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.attachment_store import make_attachment_store
from notary.places import StatementFile

LISTED = 20


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another new or empty folder, for a copy of the master key."),
    ] = None,
) -> None:
    """Write a backup while the system runs: the database, the attachments and the notary's statements.

    The master key is not part of it, because it decrypts personal data. Keep it in another place. With --keys
    it is copied to a folder of its own.

    Exit code 0: complete. 1: complete, but attachments are lost in the store. 2: there is no backup.
    """
    settings = load_settings()
    folder = folder.resolve()
    key_folder = keys.resolve() if keys is not None else None
    if key_folder is not None:
        _require_apart(folder, key_folder)
        make_empty_folder(key_folder)
        write_file(key_folder / KEY_FILE, _master_key(settings).encode())
    try:
        manifest = _back_up(settings, folder)
    except BaseException:
        if key_folder is not None:
            clear_folder(key_folder)
        raise
    _report(manifest, folder, key_folder)
    if manifest.lost_attachments:
        raise typer.Exit(1)


def _back_up(settings: Settings, folder: Path) -> Manifest:
    with database_address(settings) as dsn, Progress("Copying the attachments") as progress:
        source = Source(
            dsn=settings.migrate_database_url or dsn,
            vault=load_vault(settings),
            attachments=make_attachment_store(settings),
            statements=StatementFile.of(settings).lines(),
        )
        return write_backup(source, folder, progress.show)


def _require_apart(folder: Path, keys: Path) -> None:
    if folder == keys or folder in keys.parents or keys in folder.parents:
        raise BackupRefused(
            f"{keys} is not apart from {folder}: whoever has both can read all personal data. Name a folder"
            " in another place with --keys."
        )


def _master_key(settings: Settings) -> str:
    text = settings.master_key or (settings.home / KEY_FILE).read_text()
    return text.strip() + "\n"


def _report(manifest: Manifest, folder: Path, keys: Path | None) -> None:
    facts = manifest.facts
    attachments, size_bytes = len(manifest.files) - 2, sum(file.size_bytes for file in manifest.files)
    note(
        f"{folder}: the log up to position {facts.log_end} ({facts.events} events), {attachments}"
        f" attachments, {facts.statements} statements of the notary; {size_bytes} bytes."
    )
    if keys is not None:
        note(f"The master key is in {keys}. Move that folder to another place than the backup.")
    else:
        note(
            "The master key is not in the backup, which cannot be restored without it: keep MASTER_KEY, or"
            f" the file {KEY_FILE} of TICKETING_HOME, in another place. To copy it, use --keys."
        )
    if lost := manifest.lost_attachments:
        listed = ", ".join(lost[:LISTED]) + (" ..." if len(lost) > LISTED else "")
        note(
            f"{len(lost)} attachments are missing in the attachment store, or are not the files that were"
            f" uploaded, so the backup lacks them: {listed}. Copy them from an older backup."
        )
