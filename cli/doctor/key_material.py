"""Checks the master key, the key of the notary, and its last checkpoint."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from cli.doctor.finding import Finding, ok, problem, warning
from infrastructure.keys.vault import KEY_FILE, CannotDecrypt, Vault, has_master_key, load_vault, verify_vault
from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.postgres import Connection
from notary.follower import last_published
from notary.places import NotaryRefused, PlaceUnavailable, StatementFile
from notary.signing import last_checkpoint, require_signing_key


def check_keys(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """The master key; with the right one, the key of the notary too."""
    try:
        vault = load_vault(settings)
        if not has_master_key(conn):
            remedy = "Run `ticketing migrate`, which records it."
            yield problem("master key", "the database has none yet.", remedy)
            return
        verify_vault(conn, vault)
    except (BadSettings, OSError) as refusal:
        remedy = (
            f"Set MASTER_KEY, or restore the file {settings.home / KEY_FILE}, from where you keep the key."
        )
        yield problem("master key", f"it cannot be used: {refusal}", remedy)
        return
    yield _judge_key_file(settings)
    yield _check_notary_key(conn, vault)


def _judge_key_file(settings: Settings) -> Finding:
    file = settings.home / KEY_FILE
    if settings.master_key is None and stat.S_IMODE(file.stat().st_mode) & 0o077:
        return warning("master key", f"other users can read {file}.", f"Run: chmod 600 {file}")
    return ok("master key", "it is the key of this database.")


def _check_notary_key(conn: Connection, vault: Vault) -> Finding:
    try:
        key = require_signing_key(conn, vault)
    except (CannotDecrypt, ValueError) as error:
        remedy = "Put the master key of that time behind the new one in MASTER_KEY, or restore a backup."
        return problem("notary key", f"it cannot be decrypted: {error}.", remedy)
    if key is None:
        return warning("notary key", "there is none yet.", "Start `ticketing notary`, which makes it.")
    return ok("notary key", f"{key} can sign.")


def check_checkpoints(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """The last checkpoint, and whether the file outside the database continues that of the database."""
    last = last_checkpoint(conn)
    if last is None:
        yield warning("checkpoint", "nothing is signed yet.", "Start `ticketing notary`.")
        return
    signed_at = datetime.fromisoformat(str(last.facts["at"]))
    age = int((datetime.now(UTC) - signed_at).total_seconds())
    yield ok("checkpoint", f"the last one is {age} s old and covers the log up to position {last.position}.")
    file = StatementFile.of(settings)
    try:
        published = last_published(conn, file)
    except (NotaryRefused, PlaceUnavailable) as refusal:
        remedy = "Keep the file as evidence, and start the notary again."
        yield problem("checkpoint file", f"{file.path}: {refusal}", remedy)
        return
    if published == 0:
        remedy = "Run `ticketing doctor` where the notary runs, or start the notary."
        yield warning("checkpoint file", f"there is no file {file.path} on this machine.", remedy)
    else:
        yield ok("checkpoint file", f"{file.path} ends with statement {published} of the database.")
