"""What may be asked of webhooks, and how it is carried out.

A secret is sealed in a row that commits with the event. One that we make ourselves is shown once: in the
answer to the request that caused it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Actor, Caller, Context
from domain.errors import Details, Invalid, NotFound
from domain.web_address import web_address_problem
from domain.webhook import Webhook
from infrastructure.keys.vault import Vault
from infrastructure.storage.event_store import EventStore, create, decide
from infrastructure.storage.postgres import Statement, named_queries

PREFIX = "whsec_"
SECRET_PURPOSE = "webhook secret"  # noqa: S105 - what it is sealed for, not a secret
MADE_BYTES = 32
KEY_BYTES = (16, 64)
TEXT_LENGTHS = (8, 256)
GRACE = timedelta(hours=24)

_sql = named_queries(Path(__file__).parent / "sql" / "webhooks.sql")


class RegisterWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` None has one made."""

    url: str
    event_names: tuple[str, ...]
    secret: str | None = None


class ChangeWebhook(msgspec.Struct, frozen=True, kw_only=True):
    webhook_id: str
    expected_versions: frozenset[int] | None = None
    url: str | UnsetType = UNSET
    event_names: tuple[str, ...] | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` None has one made. The present one goes on working for 24 hours."""

    webhook_id: str
    secret: str | None = None


class Webhooks:
    """The handlers, with what all of them need."""

    def __init__(self, store: EventStore, vault: Vault, *, allow_private: bool) -> None:
        self._store = store
        self._vault = vault
        self._allow_private = allow_private

    def register(self, command: RegisterWebhook, context: Context) -> Webhook:
        """Register a webhook of the caller's; its id is the command's."""
        require_may_manage(context.caller)
        if details := self.problems(command.url, command.secret):
            raise Invalid(details)
        webhook = Webhook.register(
            context.command_id, context, url=command.url, event_names=command.event_names
        )
        also = [(_sql["insert_endpoint"], _row(webhook)), self._secret(webhook.id, command.secret, context)]
        return create(self._store, webhook, context, also=also)

    def change(self, command: ChangeWebhook, context: Context) -> Webhook:
        """Change address, events, or whether anything is sent at all."""

        def attempt() -> Webhook:
            webhook = owned_webhook(self._store, context.caller, command.webhook_id)
            if done := self._store.done_before(Webhook, webhook.id, context):
                return done
            webhook.require_version(command.expected_versions)
            if command.url is not UNSET:
                if details := self.problems(command.url):
                    raise Invalid(details)
                webhook.change_url(command.url, context)
            if command.event_names is not UNSET:
                webhook.change_event_names(command.event_names, context)
            if command.is_enabled is not UNSET:
                if command.is_enabled:
                    webhook.enable(context)
                else:
                    webhook.disable("owner", context)
            mended = (_sql["forget_failures"], {"endpoint_id": webhook.id})
            self._store.save(webhook, also=[(_sql["update_endpoint"], _row(webhook)), mended])
            return webhook

        return decide(self._store, command.webhook_id, attempt)

    def rotate_secret(self, command: RotateSecret, context: Context) -> Webhook:
        """Sign with a new secret, and for 24 hours with the present one too."""

        def attempt() -> Webhook:
            webhook = owned_webhook(self._store, context.caller, command.webhook_id)
            if done := self._store.done_before(Webhook, webhook.id, context):
                return done
            if details := self.problems(secret=command.secret):
                raise Invalid(details)
            webhook.rotate_secret(context)
            expiry = {
                "endpoint_id": webhook.id,
                "command_id": context.command_id,
                "at": context.at,
                "grace_ends_at": context.at + GRACE,
            }
            also = [
                (_sql["update_endpoint"], _row(webhook)),
                (_sql["expire_secrets"], expiry),
                self._secret(webhook.id, command.secret, context),
            ]
            self._store.save(webhook, also=also)
            return webhook

        return decide(self._store, command.webhook_id, attempt)

    def delete(
        self, webhook_id: str, context: Context, *, expected_versions: frozenset[int] | None = None
    ) -> Webhook:
        """Send nothing more, and forget the secrets."""

        def attempt() -> Webhook:
            webhook = owned_webhook(self._store, context.caller, webhook_id)
            webhook.require_version(expected_versions)
            webhook.delete(context)
            deletion = _row(webhook) | {"deleted_at": context.at}
            forget = (_sql["delete_secrets"], {"endpoint_id": webhook.id})
            self._store.save(webhook, also=[(_sql["update_endpoint"], deletion), forget])
            return webhook

        return decide(self._store, webhook_id, attempt)

    def problems(self, url: str | None = None, secret: str | None = None) -> Details:
        """Why nothing can be sent to this address, or be signed with this secret."""
        details: Details = {}
        if url is not None and (problem := web_address_problem(url, allow_private=self._allow_private)):
            details["url"] = [f"The url field {problem}"]
        if secret is not None and (problem := secret_problem(secret)):
            details["secret"] = [f"The secret field {problem}"]
        return details

    def _secret(self, webhook_id: str, given: str | None, context: Context) -> Statement:
        secret = given or PREFIX + base64.b64encode(secrets.token_bytes(MADE_BYTES)).decode()
        row = {
            "endpoint_id": webhook_id,
            "command_id": context.command_id,
            "sealed": self._vault.encrypt(secret.encode(), purpose=SECRET_PURPOSE),
            "is_ours": given is None,
            "at": context.at,
        }
        return _sql["insert_secret"], row


def require_may_manage(caller: Caller) -> None:
    caller.require("manager", "manage webhooks")


def owns(caller: Caller, owner: Actor) -> bool:
    """Admins of everything manage every webhook; others those they registered themselves.

    Whoever manages one can read what it was sent, and have the rest sent elsewhere. So a key or application
    that may read less than its person manages only what was registered with itself.
    """
    if caller.sees_as_whole:
        return caller.is_of_everything or caller.principal_id == (owner.user_id or owner.credential_id)
    return (caller.user_id, caller.credential_id) == (owner.user_id, owner.credential_id)


def owned_webhook(store: EventStore, caller: Caller, webhook_id: str) -> Webhook:
    """The webhook, or NotFound when it is absent, deleted or someone else's; Forbidden below manager."""
    require_may_manage(caller)
    webhook = store.load(Webhook, webhook_id)
    if webhook.is_deleted or not owns(caller, webhook.owner):
        raise NotFound("webhook")
    return webhook


def secret_problem(secret: str) -> str | None:
    """What completes "The secret field ...", or None for one that can sign."""
    if not secret.startswith(PREFIX):
        least, most = TEXT_LENGTHS
        return None if least <= len(secret) <= most else f"takes {least} to {most} characters."
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    least, most = KEY_BYTES
    if least <= len(key) <= most:
        return None
    return f"begins with {PREFIX}: then {least} to {most} bytes in base64 follow."


def _row(webhook: Webhook) -> dict[str, Any]:
    owner = webhook.owner
    return {
        "id": webhook.id,
        "version": webhook.version,
        "url": webhook.url,
        "event_names": list(webhook.event_names),
        "owner_role": owner.role,
        "owner_auth": owner.auth,
        "owner_user_id": owner.user_id,
        "owner_credential_id": owner.credential_id,
        "is_enabled": webhook.is_enabled,
        "disabled_reason": webhook.disabled_reason,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
        "deleted_at": None,
    }
