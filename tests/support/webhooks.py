"""Registers webhooks, opens tickets and runs a dispatcher in this process, on a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from commands.values import ValidValues
from commands.webhooks import NewWebhook, register_webhook
from domain.access import Context, system_context
from domain.ticket import Ticket
from domain.webhook import Webhook
from infrastructure.ids import new_id
from infrastructure.settings import Settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from tests.support.commands import MASTER_KEY
from tests.support.vault import VAULT
from tests.support.waiting import WAIT_SECONDS
from webhook_dispatcher.dispatcher import run_dispatcher

SECRET = "your_webhook_secret"


def system() -> Context:
    """The context of a new command that an operator runs now."""
    return system_context(datetime.now(UTC), auth="cli", command_id=new_id())


def register(
    store: EventStore,
    url: str,
    *event_names: str,
    secret: str | None = SECRET,
    by: Context | None = None,
    payload_version: Literal[1, 2] = 1,
    **more: Any,
) -> Webhook:
    new = NewWebhook(
        url=url,
        events=event_names or ("ticket.*",),
        secret=secret,
        payload_version=payload_version,
        **more,
    )
    values = ValidValues(new)
    return register_webhook(store, values, by or system(), vault=VAULT, allow_private=True)


def open_ticket(store: EventStore, **facts: Any) -> Ticket:
    """Store a new ticket without the checks of a command."""
    fields = {
        "title": "Water leak in bathroom",
        "description": "",
        "priority": "high",
        "category": "plumbing",
        "property_id": "p1",
        "unit_id": None,
        "requester_id": "u1",
    }
    ticket = Ticket.open(new_id(), system(), **{**fields, **facts})
    store.save(ticket)
    return ticket


def settings_for(dsn: str, home: Path, **more: Any) -> Settings:
    defaults = {
        "webhook_allow_private_addresses": True,
        "webhook_retry_seconds": (0.05, 0.1),
        "webhook_timeout_seconds": 1.0,
        **more,
    }
    return Settings(home=home, database_url=dsn, master_key=MASTER_KEY, **defaults)


@contextmanager
def running_dispatcher(settings: Settings) -> Iterator[None]:
    """Run a dispatcher in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=run_dispatcher, args=(settings, stop), name="dispatcher")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def statuses(pool: Pool) -> dict[str, int]:
    """The number of deliveries in each status."""
    with pool.connection() as conn:
        return dict(conn.execute("SELECT status, count(*) FROM hook.deliveries GROUP BY 1").fetchall())


def is_settled(pool: Pool, count: int) -> bool:
    """Whether there are that many deliveries and none is pending."""
    found = statuses(pool)
    return sum(found.values()) >= count and "pending" not in found
