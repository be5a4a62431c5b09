"""What the API shows of webhooks and their deliveries."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.access import Caller
from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Pool, named_queries
from webhook_dispatcher.enqueue import select_endpoints
from webhook_dispatcher.owners import Endpoint, may_receive
from webhook_dispatcher.signing import SECRET_PURPOSE

ATTEMPTS_SHOWN = 50

DeliveryStatus = Literal["pending", "delivered", "dead", "withheld"]

sql = named_queries(Path(__file__).parent / "sql" / "deliveries.sql")


class WebhookView(msgspec.Struct, kw_only=True):
    """As the reference shows a new webhook, and how it is doing. `failures` counts those since the last
    success; `disabled_reason` is owner, gone (it answered 410) or failing (for days). With `access_ended`
    everything is withheld: what registered it, a key or an application, can read tickets no longer."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    updated_at: datetime
    enabled: bool
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    access_ended: bool


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    owner_id: str | None
    view: WebhookView


class RequestView(msgspec.Struct, kw_only=True):
    """What was posted, or is going to be: the very bytes as text."""

    url: str | None
    headers: dict[str, str]
    body: str | None


class AttemptView(msgspec.Struct, kw_only=True):
    """One post. Without an answer `response_status` is null and `error` says why. `response_body` is the
    first 2 kB as text."""

    attempt: int
    at: datetime
    url: str
    headers: dict[str, str]
    response_status: int | None
    response_body: str
    error: str | None
    latency_ms: int


class DeliveryView(msgspec.Struct, kw_only=True):
    """`message_id` is the webhook-id. `next_attempt_at` is null when none is due."""

    id: str
    message_id: str
    event: str
    status: DeliveryStatus
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None
    response_status: int | None
    latency_ms: int | None
    request: RequestView
    attempts: list[AttemptView]


class _Attempt(msgspec.Struct):
    number: int
    at: datetime
    url: str
    headers: dict[str, str]
    status: int | None
    body: str | None
    error: str | None
    milliseconds: int


_attempts = msgspec.json.Decoder(list[_Attempt])


def list_webhooks(pool: Pool, caller: Caller, limit: int, offset: int) -> tuple[int, list[WebhookRow]]:
    """Those the caller manages, newest first, and how many there are: all of them for an admin of
    everything, otherwise the caller's own; for a key that reads less than its person those made with it."""
    sees_all = caller.sees_as_whole and caller.is_of_everything
    parameters = {
        "owner": None if sees_all else caller.principal_id,
        "credential": None if caller.sees_as_whole else caller.credential_id,
        "limit": limit,
        "offset": offset,
    }
    with pool.connection() as conn:
        rows = conn.execute(sql["list_endpoints"], parameters).fetchall()
        listed = [row for row in rows if row[1] is not None]
        endpoints = {each.id: each for each in select_endpoints(conn, [row[1] for row in listed])}
    return rows[0][0], [_webhook(row, endpoints[row[1]]) for row in listed]


def get_webhook(pool: Pool, webhook_id: str) -> WebhookRow | None:
    """The webhook, whoever owns it, unless it is deleted."""
    with pool.connection() as conn:
        row = conn.execute(sql["get_endpoint"], {"id": webhook_id}).fetchone()
        endpoints = select_endpoints(conn, [webhook_id])
    return _webhook(row, endpoints[0]) if row else None


def made_secret(pool: Pool, vault: Vault, webhook_id: str, command_id: str) -> str | None:
    """The secret that was made for this command, to be shown in its answer; None if one was given."""
    with pool.connection() as conn:
        row = conn.execute(sql["get_secret"], {"id": webhook_id, "command_id": command_id}).fetchone()
    return vault.decrypt(bytes(row[0]), purpose=SECRET_PURPOSE).decode() if row else None


def list_deliveries(
    pool: Pool,
    webhook_id: str,
    *,
    statuses: Sequence[str],
    names: Sequence[str],
    limit: int,
    offset: int,
) -> tuple[int, list[DeliveryView]]:
    """The deliveries of a webhook, newest first, and how many match."""
    parameters = {
        "endpoint_id": webhook_id,
        "statuses": list(statuses) or None,
        "names": list(names) or None,
        "limit": limit,
        "offset": offset,
        "attempts": ATTEMPTS_SHOWN,
    }
    with pool.connection() as conn:
        rows = conn.execute(sql["list_deliveries"], parameters).fetchall()
        endpoints = select_endpoints(conn, [webhook_id])
    return rows[0][0], [_delivery(row, endpoints) for row in rows if row[1] is not None]


def get_delivery(pool: Pool, webhook_id: str, delivery_id: str) -> DeliveryView | None:
    """One delivery of that webhook with its last attempts."""
    if not (delivery_id.isascii() and delivery_id.isdecimal() and len(delivery_id) <= 18):
        return None
    parameters = {"endpoint_id": webhook_id, "id": int(delivery_id), "attempts": ATTEMPTS_SHOWN}
    with pool.connection() as conn:
        row = conn.execute(sql["get_delivery"], parameters).fetchone()
        endpoints = select_endpoints(conn, [webhook_id])
    return _delivery(row, endpoints) if row else None


def _webhook(row: Any, endpoint: Endpoint) -> WebhookRow:
    _, id, version, url, names, enabled, reason, created_at, updated_at, user_id, credential_id, *rest = row
    failures, failing_since = rest
    view = WebhookView(
        id=id,
        url=url,
        events=names,
        created_at=_seconds(created_at),
        updated_at=_seconds(updated_at),
        enabled=enabled,
        disabled_reason=reason,
        failures=failures,
        failing_since=failing_since and _seconds(failing_since),
        access_ended=not endpoint.has_access,
    )
    return WebhookRow(version=version, owner_id=user_id or credential_id, view=view)


def _delivery(row: Any, endpoints: Sequence[Endpoint]) -> DeliveryView:
    _, id, message_id, status, created_at, next_at, finished_at, name, body, *facts, attempts = row
    property_id, requester_id, is_internal = facts
    made = [_attempt(each) for each in _attempts.decode(attempts)] if attempts else []
    last = made[-1] if made else None
    shown = all(
        may_receive(each, property_id=property_id, requester_id=requester_id, is_internal=is_internal)
        == "allowed"
        for each in endpoints
    )
    return DeliveryView(
        id=str(id),
        message_id=message_id,
        event=name,
        status=status,
        created_at=_seconds(created_at),
        finished_at=finished_at and _seconds(finished_at),
        next_attempt_at=_seconds(next_at) if status == "pending" else None,
        response_status=last.response_status if last else None,
        latency_ms=last.latency_ms if last else None,
        request=RequestView(
            url=last.url if last else None,
            headers=last.headers if last else {},
            body=bytes(body).decode() if shown else None,
        ),
        attempts=made,
    )


def _attempt(attempt: _Attempt) -> AttemptView:
    return AttemptView(
        attempt=attempt.number,
        at=attempt.at.astimezone(UTC),
        url=attempt.url,
        headers=attempt.headers,
        response_status=attempt.status,
        response_body=base64.b64decode(attempt.body or "").decode(errors="replace").replace("\0", "\ufffd"),
        error=attempt.error,
        latency_ms=attempt.milliseconds,
    )


def _seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
