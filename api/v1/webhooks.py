"""/v1/webhooks: who is told what, where."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

import falcon
import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.bodies import read_object, respond, right_fields, validate
from api.http.etags import etag, expected_versions
from api.http.paging import PageQuery, respond_with_page
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.webhook_views import WebhookView, get_webhook, list_webhooks, made_secret
from commands.webhooks import (
    ChangeWebhook,
    RegisterWebhook,
    RotateSecret,
    owned_webhook,
    require_may_manage,
)
from commands.webhooks import (
    Webhooks as Handlers,
)
from domain.errors import Invalid, NotFound
from domain.text import WebhookUrl
from domain.webhook import Webhook, WebhookEventName
from projections.views import Page, whole_seconds

EventNames = Annotated[tuple[WebhookEventName, ...], Meta(min_length=1, max_length=20)]
Secret = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=256,
        description="With whsec_ in front: base64. Any other text is used as its UTF-8 bytes.",
    ),
]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST takes. Without a secret one is made, and shown in the answer, once."""

    url: WebhookUrl
    events: EventNames
    secret: Secret | None = None


class WebhookChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What PATCH takes: absent leaves as it is. The secret is changed by rotating it."""

    url: WebhookUrl | UnsetType = UNSET
    events: EventNames | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class NewSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What rotating takes. Without a secret one is made, and shown in the answer, once."""

    secret: Secret | None = None


class RegisteredWebhook(msgspec.Struct, kw_only=True):
    """`secret` is there only if we made it, and never again."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    secret: str | UnsetType = UNSET


class WebhookList(Resource):
    """The webhooks the caller manages."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List webhooks",
            roles="admin: all; manager: those they registered; keys that read less than their person: their"
            " own",
            scope="webhooks:read",
            query=PageQuery,
            answer=WebhookView,
            answer_example=[examples.WEBHOOK],
            is_list=True,
            errors=("forbidden",),
        ),
        "POST": Operation(
            summary="Register a webhook",
            description="Signed as Standard Webhooks describes. It receives only what its owner may read at"
            " the moment of delivery: nothing more once the API key is revoked or expired, or the application"
            " shut out or no longer allowed, and nothing without the scope `tickets:read`. `ticket.*` stands"
            " for every event.",
            roles="manager and above",
            scope="webhooks:write",
            body=NewWebhook,
            body_example=examples.NEW_WEBHOOK,
            answer=RegisteredWebhook,
            answer_example=examples.REGISTERED_WEBHOOK,
            has_etag=True,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_may_manage(req.context.caller)
        query = read_query(req, PageQuery)
        total, rows = list_webhooks(self.services.pool, req.context.caller, query.limit, query.offset)
        page = Page(items=[row.view for row in rows], total=total)
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_object(req)
        context = req.context.command()
        require_may_manage(context.caller)
        try:
            new = validate(body, NewWebhook)
        except Invalid as refusal:
            raise _with_problems(self.services, body, refusal) from None
        command = RegisterWebhook(url=new.url, event_names=new.events, secret=new.secret)
        webhook = handlers(self.services).register(command, context)
        resp.location = f"{self.services.settings.base_url}/v1/webhooks/{webhook.id}"
        respond_with_secret(req, resp, self.services, webhook, status=201)


class WebhookItem(Resource):
    """One webhook."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a webhook, and how it is doing",
            roles="manager and above, of those they manage",
            scope="webhooks:read",
            query=NoQuery,
            answer=WebhookView,
            answer_example=examples.WEBHOOK,
            has_etag=True,
            errors=("forbidden",),
        ),
        "PATCH": Operation(
            summary="Change a webhook's address or events, or switch it off and on",
            description="What is due is tried at once after a change. One that answered 410, or failed for"
            " five days, was switched off; `enabled: true` switches it on again.",
            roles="manager and above, of those they manage",
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
            description="Nothing more is sent, not even what is due.",
            roles="manager and above, of those they manage",
            scope="webhooks:write",
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        owned_webhook(self.services.store, req.context.caller, webhook_id)
        read_query(req, NoQuery)
        respond_with_webhook(resp, self.services, webhook_id)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        body = read_object(req)
        expected = expected_versions(req)
        context = req.context.command()
        try:
            changes = validate(body, WebhookChanges)
        except Invalid as refusal:  # 404, 403 and 412 come before 422
            owned_webhook(self.services.store, context.caller, webhook_id).require_version(expected)
            raise _with_problems(self.services, body, refusal) from None
        command = ChangeWebhook(
            webhook_id=webhook_id,
            expected_versions=expected,
            url=changes.url,
            event_names=changes.events,
            is_enabled=changes.enabled,
        )
        handlers(self.services).change(command, context)
        respond_with_webhook(resp, self.services, webhook_id)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        expected = expected_versions(req)
        handlers(self.services).delete(webhook_id, req.context.command(), expected_versions=expected)
        respond(resp, None)


class WebhookSecret(Resource):
    """The secret a webhook is signed with."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Rotate the secret",
            description="For 24 hours posts carry two signatures, one by the new secret and one by the old,"
            " so that a receiver that holds either verifies them.",
            roles="manager and above, of those they manage",
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
        body = read_object(req)
        context = req.context.command()
        try:
            new = validate(body, NewSecret)
        except Invalid:  # 404 and 403 come before 422
            owned_webhook(self.services.store, context.caller, webhook_id)
            raise
        command = RotateSecret(webhook_id=webhook_id, secret=new.secret)
        webhook = handlers(self.services).rotate_secret(command, context)
        respond_with_secret(req, resp, self.services, webhook)


def _with_problems(services: Services, body: dict[str, Any], refusal: Invalid) -> Invalid:
    """The refusal with what is wrong beyond the fields' form: a client hears of every bad field at once."""
    named = right_fields(body, refusal)
    return refusal.beside(handlers(services).problems(named.get("url"), named.get("secret")))


def handlers(services: Services) -> Handlers:
    allow_private = services.settings.webhook_allow_private_addresses
    return Handlers(services.store, services.vault, allow_private=allow_private)


def respond_with_webhook(resp: falcon.Response, services: Services, webhook_id: str) -> None:
    row = get_webhook(services.pool, webhook_id)
    if row is None:  # deleted this moment
        raise NotFound("webhook")
    resp.etag = etag(row.version)
    respond(resp, row.view)


def respond_with_secret(
    req: falcon.Request, resp: falcon.Response, services: Services, webhook: Webhook, *, status: int = 200
) -> None:
    """Answer as the reference does, with the secret if this very command had it made."""
    secret = made_secret(services.pool, services.vault, webhook.id, req.context.command().command_id)
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
