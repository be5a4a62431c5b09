"""/v1/webhooks: addresses that receive the events of tickets."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import falcon
import msgspec
from msgspec import UNSET, UnsetType

from api.http.bodies import read_values, respond
from api.http.etags import etag, expected_versions, respond_if_modified
from api.http.paging import ListQuery, respond_with_page, slice_of
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.webhook_views import WebhookRow, WebhookView, get_new_secret, get_webhook, list_webhooks
from commands.webhooks import (
    NewSecret,
    NewWebhook,
    WebhookChanges,
    change_webhook,
    delete_webhook,
    owned_webhook,
    register_webhook,
    require_may_manage,
    rotate_webhook_secret,
)
from domain.errors import NotFound
from domain.times import whole_seconds
from domain.webhook import Webhook


class RegisteredWebhook(msgspec.Struct, kw_only=True):
    """`secret` is present only if this request generated it."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    secret: str | UnsetType = UNSET


class WebhookListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest webhook comes first."""


class WebhookList(Resource):
    """Lists and registers webhooks."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List webhooks",
            roles="admin, for all; manager, for those that they registered. A key that may read less than"
            " its user lists only those that it registered itself",
            scope="webhooks:read",
            query=WebhookListQuery,
            answer=WebhookView,
            answer_example=[examples.WEBHOOK],
            is_list=True,
            errors=("forbidden",),
        ),
        "POST": Operation(
            summary="Register a webhook",
            description="Posts are signed as Standard Webhooks describes. They contain only what the owner"
            " may read at the time of delivery. Nothing is sent without the scope `tickets:read`, after the"
            " API key was revoked or has expired, after the application was revoked or its consent was"
            " withdrawn, or while the person is deactivated. `ticket.*` means every event of a ticket."
            " With `payload_version` 2 there is one post for each request and event name, with all changes of"
            " the request. `filter` limits the changes that are sent, and a thin `payload` has ids and names"
            " of fields only. The limits hold for all posts to the webhook together. The values of `headers`"
            " are never shown again.",
            roles="manager and above",
            scope="webhooks:write",
            body=NewWebhook,
            body_example=examples.NEW_WEBHOOK,
            registers_url=True,
            answer=RegisteredWebhook,
            answer_example=examples.REGISTERED_WEBHOOK,
            has_etag=True,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_may_manage(req.context.caller)
        query = read_query(req, WebhookListQuery)
        part = slice_of(query, self.services.signing_key)
        page = list_webhooks(self.services.pool, req.context.caller, part)
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        webhook = register_webhook(
            self.services.store,
            read_values(req, NewWebhook),
            req.context.command(),
            vault=self.services.vault,
            allow_private=self.services.settings.webhook_allow_private_addresses,
        )
        resp.location = f"{self.services.settings.base_url}/v1/webhooks/{webhook.id}"
        respond_with_secret(req, resp, self.services, webhook, status=201)


class WebhookItem(Resource):
    """One webhook."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a webhook and its state",
            roles="manager and above, for webhooks that they manage",
            scope="webhooks:read",
            query=NoQuery,
            answer=WebhookView,
            answer_example=examples.WEBHOOK,
            has_etag=True,
            answers_not_modified=True,
            errors=("forbidden",),
        ),
        "PATCH": Operation(
            summary="Change a webhook's address, events or settings, or disable and enable it",
            description="After a change, pending deliveries are attempted immediately. A webhook is disabled"
            " when its receiver answers 410 or fails for five days. `enabled: true` enables it again.",
            roles="manager and above, for webhooks that they manage",
            scope="webhooks:write",
            body=WebhookChanges,
            body_example={"enabled": True},
            answer=WebhookView,
            answer_example=examples.WEBHOOK,
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
        "DELETE": Operation(
            summary="Delete a webhook",
            description="Nothing more is sent, including pending deliveries.",
            roles="manager and above, for webhooks that they manage",
            scope="webhooks:write",
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        owned_webhook(self.services.store, req.context.caller, webhook_id)
        read_query(req, NoQuery)
        row = shown_webhook(self.services, webhook_id)
        respond_if_modified(req, resp, row.view, version=row.version)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        change_webhook(
            self.services.store,
            webhook_id,
            read_values(req, WebhookChanges),
            req.context.command(),
            expected_versions(req),
            vault=self.services.vault,
            allow_private=self.services.settings.webhook_allow_private_addresses,
        )
        row = shown_webhook(self.services, webhook_id)
        resp.etag = etag(row.version)
        respond(resp, row.view)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        delete_webhook(self.services.store, webhook_id, req.context.command(), expected_versions(req))
        respond(resp, None)


class WebhookSecret(Resource):
    """Rotates the secret that signs the posts to a webhook."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Rotate the secret",
            operation_id="rotateWebhookSecret",
            description="For 24 hours posts have two signatures, one with the new and one with the old"
            " secret, so a receiver can verify them with either.",
            roles="manager and above, for webhooks that they manage",
            scope="webhooks:write",
            body=NewSecret,
            body_example={},
            answer=RegisteredWebhook,
            answer_example=examples.REGISTERED_WEBHOOK | {"secret": "whsec_..."},
            has_etag=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        values, context = read_values(req, NewSecret), req.context.command()
        webhook = rotate_webhook_secret(
            self.services.store, webhook_id, values, context, vault=self.services.vault
        )
        respond_with_secret(req, resp, self.services, webhook)


def shown_webhook(services: Services, webhook_id: str) -> WebhookRow:
    row = get_webhook(services.pool, webhook_id)
    if row is None:  # deleted since the command
        raise NotFound("webhook")
    return row


def respond_with_secret(
    req: falcon.Request, resp: falcon.Response, services: Services, webhook: Webhook, *, status: int = 200
) -> None:
    """Answer with the webhook, and with its secret if this command generated it."""
    secret = get_new_secret(services.pool, services.vault, webhook.id, req.context.command().command_id)
    resp.etag = etag(webhook.version)
    view = RegisteredWebhook(
        id=webhook.id,
        url=webhook.url,
        events=list(webhook.event_names),
        created_at=whole_seconds(webhook.created_at),
        secret=secret or UNSET,
    )
    req.context.answer_is_secret = secret is not None
    respond(resp, view, status=status)
