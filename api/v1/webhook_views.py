"""Webhooks and their deliveries as the API and the panel show them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from commands.webhooks import SECRET_PURPOSE
from domain.access import Caller
from domain.times import whole_seconds
from domain.webhook import DeliveryStatus, Payload, PayloadVersion
from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Pool, fetch_value, named_queries
from projections.paging import Slice, by_shape
from projections.views import Page
from webhook_dispatcher.enqueue import select_endpoints
from webhook_dispatcher.owners import Endpoint, may_receive

ATTEMPTS_SHOWN = 50

sql = named_queries(Path(__file__).parent / "sql" / "webhooks.sql")
_LIST_ENDPOINTS = by_shape(
    sql["list_endpoints"],
    after="(created_at, id) < (%(after_value)s::timestamptz, %(after_id)s)",
    total=sql["count_endpoints"],
)
_LIST_DELIVERIES = by_shape(
    sql["list_deliveries"], after="d.id < %(after_value)s::bigint", total=sql["count_deliveries"]
)


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook and its state. `failures` counts the failed attempts since the last success.
    `disabled_reason` is owner, gone (the receiver answered 410) or failing (for days). `access_ended`: every
    delivery is withheld, because the key or application that registered the webhook may no longer read
    tickets, or its person is deactivated. `header_names` are the names of its custom headers; their values
    are never shown."""

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
    payload_version: PayloadVersion
    payload: Payload
    filter: dict[str, dict[str, list[str]]]
    max_per_second: int | None
    max_in_flight: int | None
    header_names: list[str]


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    owner_id: str | None
    view: WebhookView


class RequestView(msgspec.Struct, kw_only=True):
    """The request that was or will be sent. `body` is the exact content as text."""

    url: str | None
    headers: dict[str, str]
    body: str | None


class AttemptView(msgspec.Struct, kw_only=True):
    """One attempt. Without an answer `response_status` is null and `error` is the reason. `response_body` is
    the first 2 kB as text."""

    attempt: int
    at: datetime
    url: str
    headers: dict[str, str]
    response_status: int | None
    response_body: str
    error: str | None
    latency_ms: int


class DeliveryView(msgspec.Struct, kw_only=True):
    """`message_id` is the webhook-id. `next_attempt_at` is null if no attempt is due."""

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


class _EndpointRow(NamedTuple):
    """A row of list_endpoints and get_endpoint; `total` counts the webhooks that match."""

    total: int | None
    id: str
    version: int
    url: str
    event_names: list[str]
    is_enabled: bool
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime
    owner_user_id: str | None
    owner_credential_id: str | None
    payload_version: PayloadVersion
    payload: Payload
    max_per_second: int | None
    max_in_flight: int | None
    header_names: list[str]
    failures: int
    failing_since: datetime | None


class _DeliveryRow(NamedTuple):
    """A row of list_deliveries and get_delivery; `total` counts the deliveries that match."""

    total: int | None
    id: int
    message_id: str
    status: DeliveryStatus
    created_at: datetime
    next_at: datetime
    finished_at: datetime | None
    name: str
    body: bytes
    property_id: str | None
    requester_id: str | None
    is_internal: bool
    attempts: str | None


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


def list_webhooks(pool: Pool, caller: Caller, part: Slice) -> Page[WebhookView]:
    """The webhooks that the caller manages, newest first.

    An admin with full reach manages all webhooks, other callers those that they registered. A key that may
    read less than its person manages only those that it registered itself.
    """
    sees_all = caller.reads_all_tickets_of_owner and caller.is_full_admin
    parameters = {
        "owner": None if sees_all else caller.principal_id,
        "credential": None if caller.reads_all_tickets_of_owner else caller.credential_id,
        **part.parameters,
    }
    with pool.connection() as conn:
        rows = [_EndpointRow(*row) for row in conn.execute(_LIST_ENDPOINTS[part.shape], parameters)]
        listed = [row for row in rows if row.id is not None]
        endpoints = {each.id: each for each in select_endpoints(conn, [row.id for row in listed])}
    return part.page(
        listed,
        rows[0].total,
        key=lambda row: (row.created_at.isoformat(), row.id),
        view=lambda row: _webhook(row, endpoints[row.id]).view,
    )


def get_webhook(pool: Pool, webhook_id: str) -> WebhookRow | None:
    """The webhook, regardless of its owner; None if it is absent or deleted."""
    with pool.connection() as conn:
        row = conn.execute(sql["get_endpoint"], {"id": webhook_id}).fetchone()
        endpoints = select_endpoints(conn, [webhook_id])
    return _webhook(_EndpointRow(*row), endpoints[0]) if row else None


def get_new_secret(pool: Pool, vault: Vault, webhook_id: str, command_id: str) -> str | None:
    """The secret that this command generated, for its answer; None if the client gave the secret."""
    with pool.connection() as conn:
        parameters = {"id": webhook_id, "command_id": command_id}
        encrypted = fetch_value(conn, sql["get_secret"], parameters, default=b"")
    return vault.decrypt(encrypted, purpose=SECRET_PURPOSE).decode() if encrypted else None


def list_deliveries(
    pool: Pool, webhook_id: str, part: Slice, *, statuses: Sequence[str], names: Sequence[str]
) -> Page[DeliveryView]:
    """The deliveries of a webhook that match, newest first."""
    parameters = {
        "endpoint_id": webhook_id,
        "statuses": list(statuses) or None,
        "names": list(names) or None,
        "attempts": ATTEMPTS_SHOWN,
        **part.parameters,
    }
    with pool.connection() as conn:
        rows = [_DeliveryRow(*row) for row in conn.execute(_LIST_DELIVERIES[part.shape], parameters)]
        endpoints = select_endpoints(conn, [webhook_id])
    return part.page(
        [row for row in rows if row.id is not None],
        rows[0].total,
        key=lambda row: (row.id, ""),
        view=lambda row: _delivery(row, endpoints),
    )


def next_due_at(pool: Pool, webhook_id: str) -> datetime | None:
    """When the next attempt of any delivery of the webhook is due; None if none is."""
    with pool.connection() as conn:
        ((due_at,),) = conn.execute(sql["next_due"], {"endpoint_id": webhook_id}).fetchall()
    return due_at  # type: ignore[no-any-return]


def get_delivery(pool: Pool, webhook_id: str, delivery_id: str) -> DeliveryView | None:
    """One delivery of that webhook with its last attempts."""
    if not (delivery_id.isascii() and delivery_id.isdecimal() and len(delivery_id) <= 18):
        return None
    parameters = {"endpoint_id": webhook_id, "id": int(delivery_id), "attempts": ATTEMPTS_SHOWN}
    with pool.connection() as conn:
        row = conn.execute(sql["get_delivery"], parameters).fetchone()
        endpoints = select_endpoints(conn, [webhook_id])
    return _delivery(_DeliveryRow(*row), endpoints) if row else None


def _webhook(row: _EndpointRow, endpoint: Endpoint) -> WebhookRow:
    view = WebhookView(
        id=row.id,
        url=row.url,
        events=row.event_names,
        created_at=whole_seconds(row.created_at),
        updated_at=whole_seconds(row.updated_at),
        enabled=row.is_enabled,
        disabled_reason=row.disabled_reason,
        failures=row.failures,
        failing_since=row.failing_since and whole_seconds(row.failing_since),
        access_ended=not endpoint.has_access,
        payload_version=row.payload_version,
        payload=row.payload,
        filter=msgspec.json.decode(endpoint.filter_text),
        max_per_second=row.max_per_second,
        max_in_flight=row.max_in_flight,
        header_names=row.header_names,
    )
    return WebhookRow(version=row.version, owner_id=row.owner_user_id or row.owner_credential_id, view=view)


def _delivery(row: _DeliveryRow, endpoints: Sequence[Endpoint]) -> DeliveryView:
    attempts = [_attempt(each) for each in _attempts.decode(row.attempts)] if row.attempts else []
    last = attempts[-1] if attempts else None
    is_shown = all(
        may_receive(
            endpoint,
            property_id=row.property_id,
            requester_id=row.requester_id,
            is_internal=row.is_internal,
        )
        == "allowed"
        for endpoint in endpoints
    )
    return DeliveryView(
        id=str(row.id),
        message_id=row.message_id,
        event=row.name,
        status=row.status,
        created_at=whole_seconds(row.created_at),
        finished_at=row.finished_at and whole_seconds(row.finished_at),
        next_attempt_at=whole_seconds(row.next_at) if row.status == "pending" else None,
        response_status=last.response_status if last else None,
        latency_ms=last.latency_ms if last else None,
        request=RequestView(
            url=last.url if last else None,
            headers=last.headers if last else {},
            body=bytes(row.body).decode() if is_shown else None,
        ),
        attempts=attempts,
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
