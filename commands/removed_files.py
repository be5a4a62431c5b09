"""Deletes the content of removed files from the attachment store, after the commit of their removal.

A content that could not be deleted is deleted after a later upload or removal.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import structlog

from infrastructure.storage.attachment_store import AttachmentStore, AttachmentsUnavailable
from infrastructure.storage.postgres import Pool, named_queries

_AT_A_TIME = 10
_sql = named_queries(Path(__file__).parent / "sql" / "removed_files.sql")

log = structlog.get_logger()


def delete_removed_files(pool: Pool, attachments: AttachmentStore) -> None:
    """Delete the contents of removed files. An error is only logged."""
    try:
        for (attachment_id,) in pool.fetch(_sql["select_removed_files"], {"limit": _AT_A_TIME}):
            attachments.delete(attachment_id)
            pool.fetch(_sql["forget_removed_file"], {"id": attachment_id})
    except (AttachmentsUnavailable, psycopg.Error) as error:
        log.warning("removed_files_not_deleted", error=str(error), retry="after the next upload or removal")
