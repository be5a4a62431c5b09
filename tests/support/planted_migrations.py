"""Folders with the migrations of this program and others that tests add."""

from __future__ import annotations

import shutil
from pathlib import Path

from infrastructure.storage.migration_files import MIGRATIONS

EXPAND = """-- phase: expand
ALTER TABLE hook.endpoints ADD COLUMN planted_note text;
"""
INDEX = """-- phase: expand, concurrently
CREATE INDEX CONCURRENTLY IF NOT EXISTS planted_idx ON es.stored_events (topic, notification_id);
"""
CONTRACT = """-- phase: contract, for programs from 9003
ALTER TABLE hook.endpoints DROP COLUMN planted_note;
"""
PLANTED = {"9001_note.sql": EXPAND, "9002_index.sql": INDEX, "9003_without_note.sql": CONTRACT}


def make_folder(folder: Path, *, up_to: int = 9_000, planted: dict[str, str] | None = None) -> Path:
    """A folder with the migrations of this program up to that number, and the planted ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in MIGRATIONS.glob("*.sql"):
        if int(path.name[:4]) <= up_to:
            shutil.copy(path, folder)
    for name, text in (planted or {}).items():
        (folder / name).write_text(text)
    return folder
