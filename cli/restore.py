"""`ticketing restore`: restores a backup into an empty database, and repeats what happened after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from backups.files import write_file
from backups.manifest import BackupRefused
from backups.positions import SKIPPED, skip_positions
from backups.reading import Backup, open_backup
from backups.target import complete_database, restore_database, restoring
from cli.after_restore import advise, last_position, published_position
from cli.database import database_at, prepare, start_server
from cli.output import Progress, note
from cli.skip_positions import Skipped
from cli.users import erase_people_again, people_to_erase_again
from cli.verify import check
from infrastructure.keys.vault import KEY_FILE, load_vault
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.attachment_store import make_attachment_store
from infrastructure.storage.roles import APPLICATION
from infrastructure.storage.server_checks import direct_connection, require_writable
from notary.places import StatementFile
from notary.statements import BadStatement, Reader, without_repeats


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of the backup.", exists=True, file_okay=False)
    ],
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder with the copy of the master key.", exists=True, file_okay=False
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The notary's latest file: people who were erased after the backup are erased again."
            " Default: the file in NOTARY_DIR, or else that of the backup.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    skipped: Skipped = SKIPPED,
) -> None:
    """Restore a backup into an empty database, and check the result like `ticketing verify`.

    Nothing is written before the whole backup is checked. After an interruption no process starts on the
    database: run the same command again, which completes the restore.

    Exit code 0: restored. 1: restored, but the check found something. 2: not restored.
    """
    settings = load_settings()
    with Progress("Checking the backup") as progress:
        key_settings = _settings_of_key(settings, keys)
        backup = open_backup(folder.resolve(), load_vault(key_settings), progress.show)
    own = StatementFile.of(settings)
    _require_own_installation(own, backup)
    latest = _latest_statements(own, backup, checkpoints)
    signed_to = last_position(latest)  # read before the file is replaced
    with _target(settings) as target:
        owner = target.migrate_database_url or target.direct_url
        with restoring(owner, backup) as conn:
            if key_settings is not settings:
                _install_key(settings, key_settings)
            if restore_database(conn, owner, backup):
                note(f"The log is restored up to position {backup.manifest.facts.log_end}.")
            complete_database(conn)
            published = published_position(target)
            known = max(backup.manifest.facts.log_end, signed_to, published or 0)
            note(f"New events get positions after {skip_positions(conn, known, skipped)}.")
            _restore_rest(target, backup, own, latest)
        advise(target, backup, signed_to, published)
        check(target.direct_url, target, {str(own.path): own.lines()})


def _restore_rest(target: Settings, backup: Backup, own: StatementFile, latest: StatementFile) -> None:
    """Restore what is not in the dump, and erase people again. Each step can be repeated."""
    with Progress("Copying the attachments") as progress:
        copied = backup.copy_attachments(make_attachment_store(target), progress.show)
    note(f"{copied} attachments are copied.")
    for step in prepare(target, is_restore=True):
        note(step)
    with database_at(target.direct_url, target) as database:
        people = people_to_erase_again(database, latest.path)
        note(f"{len(people)} people are erased according to {latest.path}.")
        erase_people_again(database, people)
    _replace_statements(own, backup)


def _settings_of_key(settings: Settings, keys: Path | None) -> Settings:
    """The settings with the master key of `keys`, unless the target has that key already. Raises
    BackupRefused if the target has another one."""
    if keys is None:
        return settings
    if not (keys / KEY_FILE).exists():
        raise BackupRefused(f"{keys} has no file {KEY_FILE}. Name the folder that `backup --keys` wrote.")
    given, own = (keys / KEY_FILE).read_text().strip(), _own_key(settings)
    if own is None:
        return msgspec.structs.replace(settings, master_key=given)
    if not set(given.split(",")) & set(own.split(",")):
        raise BackupRefused(
            f"The target has another master key than {keys}: it belongs to another installation. Unset"
            f" MASTER_KEY, and use a TICKETING_HOME without the file {KEY_FILE}."
        )
    return settings


def _own_key(settings: Settings) -> str | None:
    path = settings.home / KEY_FILE
    text = settings.master_key or (path.read_text() if path.exists() else None)
    return text.strip() if text else None


def _install_key(settings: Settings, key_settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    write_file(settings.home / KEY_FILE, f"{key_settings.master_key}\n".encode())
    note(f"The master key is copied to {settings.home / KEY_FILE}.")


def _require_own_installation(own: StatementFile, backup: Backup) -> None:
    """Raise BackupRefused if the notary's file of the target belongs to another log."""
    try:
        _require_first_line(own, backup)
    except BadStatement as error:
        raise BackupRefused(
            f"The first line of {own.path} does not belong to the installation of this backup,"
            f" {backup.manifest.facts.installation_id}: {error}. Use the TICKETING_HOME and NOTARY_DIR of"
            " that installation, or new folders."
        ) from None


def _latest_statements(own: StatementFile, backup: Backup, checkpoints: Path | None) -> StatementFile:
    """The file that names the erased people. Raises BackupRefused if a line of it is not valid."""
    of_backup = StatementFile(backup.statements_file)
    latest = StatementFile(checkpoints.resolve()) if checkpoints else own if own.path.exists() else of_backup
    reader = Reader(backup.manifest.facts.installation_id)
    try:
        _require_first_line(latest, backup)
        for line in without_repeats(latest.lines()):
            reader.read(line)
    except BadStatement as error:
        raise BackupRefused(
            f"{latest.path} is not valid: {error}. Give the notary's latest file of this installation with"
            " --checkpoints."
        ) from None
    return latest


def _require_first_line(file: StatementFile, backup: Backup) -> None:
    """Raise BadStatement if the file begins with a statement of another log."""
    first, of_backup = next(file.lines(), None), next(iter(backup.statements()), None)
    if first is None:
        return
    Reader(backup.manifest.facts.installation_id).read(first)
    if of_backup is not None and first != of_backup:
        raise BadStatement("it is not the first statement of the backup")


@contextmanager
def _target(settings: Settings) -> Iterator[Settings]:
    """The settings with the addresses of the target: DATABASE_URL, or the embedded server."""
    if settings.database_url:
        variable = "MIGRATE_DATABASE_URL" if settings.migrate_database_url else "DATABASE_URL"
        owner = settings.migrate_database_url or settings.direct_url
        with direct_connection(owner, variable, application="ticketing-restore") as conn:
            require_writable(conn, variable)
        yield settings
        return
    server = start_server(settings)
    try:
        yield msgspec.structs.replace(
            settings, database_url=server.dsn(role=APPLICATION), migrate_database_url=server.dsn()
        )
    finally:
        server.stop()


def _replace_statements(own: StatementFile, backup: Backup) -> None:
    """Write the notary's file of the snapshot. A file with other lines is kept as evidence beside it."""
    lines, present = backup.statements(), list(own.lines())
    if present == lines:
        return
    own.path.parent.mkdir(parents=True, exist_ok=True)
    if present:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = own.path.with_name(f"{own.path.name}.before-restore-{now}")
        write_file(kept, own.path.read_bytes())
        note(f"The notary's former file is kept as {kept}: it signs events that the backup lacks.")
    write_file(own.path, "".join(f"{line}\n" for line in lines).encode())
