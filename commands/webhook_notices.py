"""Messages to the other webhooks of an owner: one of the webhooks is failing, or was disabled."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from domain.times import whole_seconds
from domain.webhook import NoticeName, Webhook, WebhookDisabled
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "webhooks.sql")


def notices_of_disabling(webhook: Webhook) -> list[Statement]:
    """The statements that store the message `webhook.disabled` if the webhook is being disabled."""
    return [
        _notice(
            webhook.id,
            "webhook.disabled",
            event.event_id,
            event.occurred_at,
            {"webhook_id": webhook.id, "url": webhook.url, "reason": event.reason},
        )
        for event in webhook.pending
        if isinstance(event, WebhookDisabled)
    ]


def notice_of_failing(webhook_id: str, url: str, failures: int, since: datetime, at: datetime) -> Statement:
    """The statement that stores the message `webhook.failing`; one for all failures since `since`."""
    data = {"webhook_id": webhook_id, "url": url, "failures": failures, "failing_since": whole_seconds(since)}
    return _notice(webhook_id, "webhook.failing", f"{webhook_id}/{since.isoformat()}", at, data)


def _notice(webhook_id: str, name: NoticeName, cause: str, at: datetime, data: dict[str, Any]) -> Statement:
    message_id = f"msg_{uuid5(NAMESPACE_URL, f'{cause}/{name}').hex}"
    body = {
        "event": name,
        "timestamp": whole_seconds(at),
        "data": data,
        "id": message_id,
        "version": None,
        "sequence": None,
    }
    parameters = {
        "id": webhook_id,
        "name": name,
        "message_id": message_id,
        "body": msgspec.json.encode(body),
    }
    return _sql["insert_notice"], parameters
