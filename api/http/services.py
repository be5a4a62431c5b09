"""The services that resources use: one of each per process, created after the fork."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from api.http.access_notes import AccessNotes
from api.http.file_urls import sign
from infrastructure.keys.vault import Vault, load_vault
from infrastructure.settings import Settings
from infrastructure.storage.attachment_store import AttachmentStore, make_attachment_store
from infrastructure.storage.disk_space import DiskSpace
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool, connect, fetch_value, make_pool
from infrastructure.storage.replica import make_replica_pool
from projections.change_watch import ChangeWatch
from projections.visibility import Visibility


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """`signing_key` signs cursors and the URLs of attachments; all processes have the same one.

    `read_pool` is for reads of the read tables in answers to GET: they may go to a replica.
    """

    settings: Settings
    vault: Vault
    store: EventStore
    pool: Pool
    read_pool: Pool
    visibility: Visibility
    changes: ChangeWatch
    attachments: AttachmentStore
    signing_key: bytes
    access_notes: AccessNotes
    disk_space: DiskSpace
    locks: Pool | None  # if the sessions of `pool` keep no state

    def file_url(self, attachment_id: str) -> str:
        """A signed URL from which anyone can download the attachment until it expires."""
        return sign(self.settings.base_url, attachment_id, self.signing_key, datetime.now(UTC))

    def close(self) -> None:
        self.access_notes.close()
        self.changes.close()
        self.visibility.close()
        self.store.close()
        if self.read_pool is not self.pool:
            self.read_pool.close()
        self.pool.close()
        if self.locks is not None:
            self.locks.close()


def make_services(settings: Settings, signing_key: bytes) -> Services:
    """Create the services of a worker. Does not connect to the database: requests do that, or answer 503."""
    size = settings.threads + 2
    pool = make_pool(
        settings.database_url or "", application="ticketing-api", max_size=size, is_pooled=settings.has_pooler
    )
    read_pool = pool
    if settings.read_database_url:
        read_pool = make_replica_pool(settings.read_database_url, pool, max_size=size)
    locks = None
    if settings.has_pooler:
        locks = make_pool(settings.direct_url, application="ticketing-locks", min_size=0, max_size=size)
    vault = load_vault(settings)
    store = EventStore(pool, vault, lock=settings.event_log_lock, locks=locks)
    visibility = Visibility(settings.direct_url, pool, vault, has_replica=settings.has_replica)
    return Services(
        settings=settings,
        vault=vault,
        store=store,
        pool=pool,
        read_pool=read_pool,
        visibility=visibility,
        changes=ChangeWatch(pool, visibility),
        attachments=make_attachment_store(settings),
        signing_key=signing_key,
        access_notes=AccessNotes(store),
        disk_space=DiskSpace(settings.postgres_data_dir),
        locks=locks,
    )


def read_signing_key(settings: Settings) -> bytes:
    """The setting SIGNING_KEY, or else the key that is stored in the database for all processes."""
    if settings.signing_key:
        return settings.signing_key.encode()
    with connect(settings.direct_url, application="ticketing-api") as conn:
        key = fetch_value(conn, "SELECT value FROM access.secrets WHERE name = 'signing'", default=b"")
    if not key:
        raise LookupError("The table access.secrets has no row 'signing'. Set SIGNING_KEY.")
    return key
