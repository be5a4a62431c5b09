"""Disabling a webhook whose receiver is gone: an event of its own, so that its owner finds out why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import structlog

from domain.access import system_context
from domain.webhook import DisabledReason, Webhook
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore, decide
from webhook_dispatcher.outcomes import sql

log = structlog.get_logger()


def disable(store: EventStore, webhook_id: str, reason: str) -> None:
    """Post nothing more to it until someone enables it again; what waits goes on waiting."""
    context = system_context(datetime.now(UTC), auth="system", command_id=new_id())

    def attempt() -> None:
        webhook = store.find(Webhook, webhook_id)
        if webhook is None or webhook.is_deleted or not webhook.is_enabled:
            return
        webhook.disable(cast(DisabledReason, reason), context)
        parameters = {"id": webhook_id, "version": webhook.version, "reason": reason, "at": context.at}
        store.save(webhook, also=[(sql["update_endpoint"], parameters)])
        log.warning("webhook_disabled", webhook_id=webhook_id, reason=reason)

    decide(store, webhook_id, attempt)
