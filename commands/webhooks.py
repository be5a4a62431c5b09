"""Registering, changing and deleting webhooks, and rotating their secrets.

A secret is stored encrypted, in a row that commits with the event. A generated secret is shown once, in the
answer to the request that caused it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import UNSET, Meta, UnsetType

from commands.deciding import change, create
from commands.values import Values, given_values
from commands.webhook_headers import HEADERS_PURPOSE, Headers, headers_problem
from commands.webhook_notices import notices_of_disabling
from domain.access import Actor, Caller, Context, system_context
from domain.errors import Details, NotFound
from domain.text import WebhookUrl
from domain.web_address import web_address_problem
from domain.webhook import DisabledReason, Payload, PayloadVersion, Webhook, WebhookEventName
from domain.webhook_filter import NO_FILTER, WebhookFilter, filter_problems
from infrastructure.ids import new_id
from infrastructure.keys.vault import Vault
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

PREFIX = "whsec_"
SECRET_PURPOSE = "webhook secret"  # noqa: S105 - the purpose of the encryption, not a secret
NEW_SECRET_BYTES = 32
KEY_BYTES = (16, 64)
TEXT_LENGTHS = (8, 256)
SETTINGS = ("payload_version", "payload", "filter", "max_per_second", "max_in_flight")
GRACE = timedelta(hours=24)

EventNames = Annotated[tuple[WebhookEventName, ...], Meta(min_length=1, max_length=20)]
Secret = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=256,
        description="After the prefix whsec_, the key in base64. Any other text is the key in UTF-8.",
    ),
]
MaxPerSecond = Annotated[int, Meta(ge=1, le=1_000, description="The most posts per second, in total")]
MaxInFlight = Annotated[int, Meta(ge=1, le=10, description="The most posts at a time, in total")]

log = structlog.get_logger()
_sql = named_queries(Path(__file__).parent / "sql" / "webhooks.sql")


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST. Without `secret`, a secret is generated and shown once, in the answer."""

    url: WebhookUrl
    events: EventNames
    secret: Secret | None = None
    payload_version: PayloadVersion = 2
    payload: Payload = "full"
    filter: WebhookFilter = NO_FILTER
    max_per_second: MaxPerSecond | None = None
    max_in_flight: MaxInFlight | None = None
    headers: Headers = {}


class WebhookChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. An absent field stays as it is. The secret is changed by rotating it. `filter` and
    `headers` are replaced as a whole; `null` removes a limit."""

    url: WebhookUrl | UnsetType = UNSET
    events: EventNames | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    payload_version: PayloadVersion | UnsetType = UNSET
    payload: Payload | UnsetType = UNSET
    filter: WebhookFilter | UnsetType = UNSET
    max_per_second: MaxPerSecond | UnsetType | None = UNSET
    max_in_flight: MaxInFlight | UnsetType | None = UNSET
    headers: Headers | UnsetType = UNSET


class NewSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new secret. Without `secret`, a secret is generated and shown once, in the answer."""

    secret: Secret | None = None


def register_webhook(
    store: EventStore, values: Values[NewWebhook], context: Context, *, vault: Vault, allow_private: bool
) -> Webhook:
    """Register a webhook that the caller owns; its id is the command id.

    `allow_private` permits addresses in private networks.
    """
    require_may_manage(context.caller)
    new = values.read(partial(_problems, allow_private=allow_private))
    webhook = Webhook.register(
        context.command_id,
        context,
        url=new.url,
        event_names=new.events,
        header_names=tuple(new.headers),
        **{name: getattr(new, name) for name in SETTINGS},
    )
    webhook.require_payload()
    statements = [
        (_sql["insert_endpoint"], _row(webhook)),
        *_limits(webhook),
        *_store_headers(vault, webhook.id, new.headers),
        _insert_secret(vault, webhook.id, new.secret, context),
    ]
    return create(store, webhook, context, statements=statements)


def change_webhook(
    store: EventStore,
    webhook_id: str,
    values: Values[WebhookChanges],
    context: Context,
    expected_versions: frozenset[int] | None = None,
    *,
    vault: Vault,
    allow_private: bool,
) -> Webhook:
    """Change the address, the events or the settings, or switch the webhook on or off."""

    def decide(webhook: Webhook) -> list[Statement]:
        webhook.require_version(expected_versions)
        changes = values.read(partial(_problems, allow_private=allow_private))
        if changes.url is not UNSET:
            webhook.change_url(changes.url, context)
        if changes.events is not UNSET:
            webhook.change_event_names(changes.events, context)
        given = given_values(changes)
        webhook.change({name: given[name] for name in SETTINGS if name in given}, context)
        webhook.require_payload()
        headers: list[Statement] = []
        if changes.headers is not UNSET:
            webhook.replace_headers(tuple(changes.headers), context)
            headers = _store_headers(vault, webhook.id, changes.headers)
        if changes.enabled is True:
            webhook.enable(context)
        elif changes.enabled is False:
            webhook.disable("owner", context)
        forget = (_sql["forget_failures"], {"endpoint_id": webhook.id})
        notices = () if webhook.is_enabled else notices_of_disabling(webhook)
        return [_update_endpoint(webhook), *headers, *_limits(webhook), forget, *notices]

    return change(
        store, webhook_id, context, partial(owned_webhook, store, context.caller, webhook_id), decide
    )


def rotate_webhook_secret(
    store: EventStore, webhook_id: str, values: Values[NewSecret], context: Context, *, vault: Vault
) -> Webhook:
    """Replace the secret. For 24 hours posts are signed with both, then only with the new one."""

    def decide(webhook: Webhook) -> list[Statement]:
        secret = values.read(partial(_problems, allow_private=False)).secret
        webhook.rotate_secret(context)
        expiry = {
            "endpoint_id": webhook.id,
            "command_id": context.command_id,
            "at": context.at,
            "grace_ends_at": context.at + GRACE,
        }
        return [
            _update_endpoint(webhook),
            (_sql["expire_secrets"], expiry),
            _insert_secret(vault, webhook.id, secret, context),
        ]

    return change(
        store, webhook_id, context, partial(owned_webhook, store, context.caller, webhook_id), decide
    )


def delete_webhook(
    store: EventStore, webhook_id: str, context: Context, expected_versions: frozenset[int] | None = None
) -> Webhook:
    """Delete a webhook and its secrets. Nothing more is sent to it."""

    def decide(webhook: Webhook) -> list[Statement]:
        webhook.require_version(expected_versions)
        webhook.delete(context)
        return [
            _update_endpoint(webhook, deleted_at=context.at),
            (_sql["delete_secrets"], {"endpoint_id": webhook.id}),
        ]

    return change(
        store, webhook_id, context, partial(owned_webhook, store, context.caller, webhook_id), decide
    )


def disable_webhook(store: EventStore, webhook_id: str, reason: DisabledReason) -> None:
    """Disable a webhook whose receiver is gone or failing. Pending deliveries wait until it is enabled."""
    context = system_context(datetime.now(UTC), auth="system", command_id=new_id())

    def decide(webhook: Webhook) -> list[Statement]:
        if webhook.is_deleted or not webhook.is_enabled:
            return []
        webhook.disable(reason, context)
        return [_update_endpoint(webhook), *notices_of_disabling(webhook)]

    with suppress(NotFound):
        webhook = change(store, webhook_id, context, partial(store.load, Webhook, webhook_id), decide)
        if webhook.position:
            log.warning("webhook_disabled", webhook_id=webhook_id, reason=reason)


def require_may_manage(caller: Caller) -> None:
    caller.require("manager", "manage webhooks")


def owns(caller: Caller, owner: Actor) -> bool:
    """Whether the caller manages a webhook of this owner.

    Admins with full reach manage every webhook; other callers manage those that they registered. Managing a
    webhook includes reading its deliveries and changing its address. So a key or application that may read
    less than its person manages only the webhooks that it registered itself.
    """
    if caller.reads_all_tickets_of_owner:
        return caller.is_full_admin or caller.principal_id == (owner.user_id or owner.credential_id)
    return (caller.user_id, caller.credential_id) == (owner.user_id, owner.credential_id)


def owned_webhook(store: EventStore, caller: Caller, webhook_id: str) -> Webhook:
    """The webhook. Raises Forbidden below manager, NotFound if it is absent, deleted or not the caller's."""
    require_may_manage(caller)
    webhook = store.load(Webhook, webhook_id)
    if webhook.is_deleted or not owns(caller, webhook.owner):
        raise NotFound("webhook")
    return webhook


def enabled_webhook(store: EventStore, caller: Caller, webhook_id: str) -> Webhook:
    """The webhook. Raises Forbidden and NotFound as `owned_webhook` does, Conflict if it is disabled."""
    webhook = owned_webhook(store, caller, webhook_id)
    webhook.require_enabled()
    return webhook


def _problems(fields: Mapping[str, Any], *, allow_private: bool) -> Details:
    """The errors in the address, the secret, the headers and the filter of a webhook."""
    url, secret, headers = fields.get("url"), fields.get("secret"), fields.get("headers")
    details: Details = {}
    if url is not None and (problem := web_address_problem(url, allow_private=allow_private)):
        details["url"] = [f"The url field {problem}"]
    if secret is not None and (problem := _secret_problem(secret)):
        details["secret"] = [f"The secret field {problem}"]
    if headers and (problem := headers_problem(headers)):
        details["headers"] = [f"The headers field {problem}"]
    if "filter" in fields:
        details |= filter_problems(msgspec.convert(fields["filter"], WebhookFilter))
    return details


def _secret_problem(secret: str) -> str | None:
    """The problem, to complete "The secret field ..."; None for a valid secret."""
    if not secret.startswith(PREFIX):
        least, most = TEXT_LENGTHS
        return None if least <= len(secret) <= most else f"must have {least} to {most} characters."
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    least, most = KEY_BYTES
    if least <= len(key) <= most:
        return None
    return f"begins with {PREFIX}, so it must continue with {least} to {most} bytes in base64."


def _insert_secret(vault: Vault, webhook_id: str, given: str | None, context: Context) -> Statement:
    secret = given or PREFIX + base64.b64encode(secrets.token_bytes(NEW_SECRET_BYTES)).decode()
    row = {
        "endpoint_id": webhook_id,
        "command_id": context.command_id,
        "sealed": vault.encrypt(secret.encode(), purpose=SECRET_PURPOSE),
        "is_ours": given is None,
        "at": context.at,
    }
    return _sql["insert_secret"], row


def _store_headers(vault: Vault, webhook_id: str, headers: Mapping[str, str]) -> list[Statement]:
    encrypted = vault.encrypt(msgspec.json.encode(headers), purpose=HEADERS_PURPOSE) if headers else None
    return [(_sql["store_headers"], {"id": webhook_id, "sealed": encrypted})]


def _limits(webhook: Webhook) -> list[Statement]:
    """The statement that adds the row which dispatchers lock, for a webhook with limits."""
    has_limits = webhook.max_per_second is not None or webhook.max_in_flight is not None
    return [(_sql["insert_limits"], {"endpoint_id": webhook.id})] if has_limits else []


def _update_endpoint(webhook: Webhook, *, deleted_at: datetime | None = None) -> Statement:
    return _sql["update_endpoint"], _row(webhook) | {"deleted_at": deleted_at}


def _row(webhook: Webhook) -> dict[str, Any]:
    owner = webhook.owner
    return {
        "id": webhook.id,
        "version": webhook.version,
        "url": webhook.url,
        "event_names": list(webhook.event_names),
        "payload_version": webhook.payload_version,
        "payload": webhook.payload,
        "filter": msgspec.json.encode(webhook.filter).decode(),
        "max_per_second": webhook.max_per_second,
        "max_in_flight": webhook.max_in_flight,
        "header_names": list(webhook.header_names),
        "owner_role": owner.role,
        "owner_auth": owner.auth,
        "owner_user_id": owner.user_id,
        "owner_credential_id": owner.credential_id,
        "is_enabled": webhook.is_enabled,
        "disabled_reason": webhook.disabled_reason,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }
