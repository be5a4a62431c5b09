"""/admin/webhooks: webhooks and their deliveries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import falcon

from api.http.sent_values import SentValues
from api.v1.webhook_replays import redeliver, send_test
from api.v1.webhook_views import (
    DeliveryView,
    WebhookRow,
    WebhookView,
    get_delivery,
    get_new_secret,
    get_webhook,
    list_deliveries,
    list_webhooks,
    next_due_at,
)
from commands.values import ValidValues
from commands.webhooks import (
    NewSecret,
    NewWebhook,
    WebhookChanges,
    change_webhook,
    delete_webhook,
    enabled_webhook,
    owned_webhook,
    register_webhook,
    rotate_webhook_secret,
)
from domain.errors import Invalid, NotFound
from domain.webhook import WEBHOOK_EVENT_NAMES, DeliveryStatus, Webhook
from pages.common import rendering as pages
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel.editing import Edit, read_edit, refused_edit
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    page_of,
    pages_of,
    read_filters,
    status_of,
)
from pages.panel.refresh import Refresh, asks_for_part, refresh_while_due
from pages.panel.webhook_form import SETTINGS, sent_settings, webhook_values
from projections.paging import Slice
from projections.views import Page

EVENT_WORDS = {
    name: "Everything about tickets" if name == "ticket.*" else name.capitalize().replace(".", " ")
    for name in WEBHOOK_EVENT_NAMES
}
DISABLED_WORDS = {
    "owner": "disabled by its owner",
    "gone": "disabled because it answered 410 Gone",
    "failing": "disabled because it failed for days",
}
OUTCOMES = {
    "": "All",
    "dead": "Failed",
    "pending": "Pending",
    "delivered": "Delivered",
    "withheld": "Withheld",
}
NEW_WEBHOOK: Values = {"url": "", "events": ["ticket.*"], "secret": "", **SETTINGS}


class DeliveryFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: tuple[DeliveryStatus, ...] = ()


class WebhookList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("manager", "List webhooks")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_filters(req, ListQuery)
        part = Slice(limit=query.limit, offset=query.offset)
        page = list_webhooks(self.services.pool, req.context.caller, part)
        self.show(req, resp, "webhooks.html", webhooks=page.items, pages=pages_of(req, query, page.total))


class WebhookRegistration(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Show the form for a new webhook"),
        "POST": page_of("manager", "Register a webhook"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "webhook_new.html", form=ShownForm(NEW_WEBHOOK), names=EVENT_WORDS)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.context.form
        try:
            given, details = sent_settings(sent_values(SETTINGS, form))
            given |= {"url": form.value("url"), "events": form.lines("events")}
            values = SentValues({**given, "secret": form.text("secret") or None}, NewWebhook, details)
            webhook = register_webhook(
                self.services.store,
                values,
                self.command(req),
                vault=self.services.vault,
                allow_private=self.services.settings.webhook_allow_private_addresses,
            )
        except REFUSALS as refusal:
            self.show_refused(req, resp, "webhook_new.html", NEW_WEBHOOK, refusal, names=EVENT_WORDS)
            return
        _show_secret(self, req, resp, webhook, "webhook-registered")


class WebhookPage(PanelPage):
    """Base of the pages of one webhook."""

    def visible(self, req: falcon.Request, webhook_id: str) -> WebhookRow:
        """The webhook. Raises NotFound if it does not exist or the caller does not manage it."""
        owned_webhook(self.services.store, req.context.caller, webhook_id)
        row = get_webhook(self.services.pool, webhook_id)
        if row is None:
            raise NotFound("webhook")
        return row

    def show_webhook(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        row: WebhookRow,
        form: ShownForm,
        *,
        status: int = 200,
    ) -> None:
        """Show the webhook, its deliveries, and the form for its address and events."""
        view, filters = row.view, read_filters(req, DeliveryFilters)
        page = self._deliveries(view, filters, count=True)
        self.show(
            req,
            resp,
            "webhook.html",
            status=status,
            webhook=view,
            form=form,
            names=EVENT_WORDS,
            why=DISABLED_WORDS.get(view.disabled_reason or ""),
            outcomes=OUTCOMES,
            deliveries=page.items,
            chosen=",".join(filters.status),
            pages=pages_of(req, filters, page.total),
            refresh=self.refresh(req, view),
        )

    def show_log(self, req: falcon.Request, resp: falcon.Response, view: WebhookView) -> None:
        """Answer with the deliveries alone, for the script."""
        filters = read_filters(req, DeliveryFilters)
        pages.render(
            req,
            resp,
            "webhook_log.html",
            webhook=view,
            deliveries=self._deliveries(view, filters, count=False).items,
            chosen=",".join(filters.status),
            refresh=self.refresh(req, view),
        )

    def refresh(self, req: falcon.Request, view: WebhookView) -> Refresh | None:
        """How often the script asks for the deliveries; None if no attempt is due."""
        is_sending = view.enabled and not view.access_ended
        return refresh_while_due(req, next_due_at(self.services.pool, view.id) if is_sending else None)

    def _deliveries(self, view: WebhookView, filters: DeliveryFilters, *, count: bool) -> Page[DeliveryView]:
        part = Slice(limit=filters.limit, offset=filters.offset, count=count)
        return list_deliveries(self.services.pool, view.id, part, statuses=filters.status, names=())


class WebhookItemPage(WebhookPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Show a webhook and its deliveries"),
        "POST": page_of("manager", "Change a webhook"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        row = self.visible(req, webhook_id)
        if asks_for_part(req):
            self.show_log(req, resp, row.view)
            return
        webhook = self.services.store.load(Webhook, webhook_id)
        form = ShownForm(webhook_values(webhook), version=webhook.version)
        self.show_webhook(req, resp, row, form)

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        row, form = self.visible(req, webhook_id), req.context.form

        def read() -> Edit:
            return read_edit(self.services.store, Webhook, webhook_id, form, webhook_values)

        def change(edit: Edit) -> Webhook:
            changed, details = sent_settings(edit.changed)
            return change_webhook(
                self.services.store,
                webhook_id,
                SentValues(changed, WebhookChanges, details),
                self.command(req),
                frozenset((edit.version,)),
                vault=self.services.vault,
                allow_private=self.services.settings.webhook_allow_private_addresses,
            )

        try:
            self.save(req, Webhook, webhook_id, read, change)
        except REFUSALS as refusal:
            again = refused_edit(read(), form, refusal)
            self.show_webhook(req, resp, row, again, status=status_of(refusal))
            return
        self.go(resp, f"/admin/webhooks/{webhook_id}", "webhook-saved")


class WebhookSwitch(WebhookPage):
    """Disables and enables a webhook."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("manager", "Enable or disable a webhook", form_page="/admin/webhooks/{webhook_id}")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        enabled = req.context.form.value("enabled")
        if enabled not in ("yes", "no"):
            raise Invalid({"enabled": ["The enabled field must be yes or no."]})
        is_enabled = enabled == "yes"
        change_webhook(
            self.services.store,
            webhook_id,
            ValidValues(WebhookChanges(enabled=is_enabled)),
            self.command(req),
            vault=self.services.vault,
            allow_private=self.services.settings.webhook_allow_private_addresses,
        )
        self.go(resp, f"/admin/webhooks/{webhook_id}", "webhook-on" if is_enabled else "webhook-off")


class WebhookRotation(WebhookPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before rotating the secret of a webhook"),
        "POST": page_of("manager", "Rotate the secret of a webhook"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        self.ask(
            req,
            resp,
            title="Rotate the secret?",
            name=self.visible(req, webhook_id).view.url,
            consequence="The new secret is shown once, on the next page. For 24 hours posts are signed with"
            " both secrets, so that your receiver can change to the new one without losing posts.",
            action="Make a new secret",
            back=f"/admin/webhooks/{webhook_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        generated = ValidValues(NewSecret())
        webhook = rotate_webhook_secret(
            self.services.store, webhook_id, generated, self.command(req), vault=self.services.vault
        )
        _show_secret(self, req, resp, webhook, "webhook-saved")


class WebhookDeletion(WebhookPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before a webhook is deleted"),
        "POST": page_of("manager", "Delete a webhook"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        self.ask(
            req,
            resp,
            title="Delete this webhook?",
            name=self.visible(req, webhook_id).view.url,
            consequence="Nothing more is sent there, including pending deliveries. This cannot be undone.",
            action="Delete webhook",
            back=f"/admin/webhooks/{webhook_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        delete_webhook(self.services.store, webhook_id, self.command(req))
        self.go(resp, "/admin/webhooks", "webhook-deleted")


class WebhookTest(WebhookPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("manager", "Send a test", form_page="/admin/webhooks/{webhook_id}")
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        enabled_webhook(self.services.store, req.context.caller, webhook_id)
        send_test(self.services.pool, webhook_id, self.command(req).command_id, datetime.now(UTC))
        self.go(resp, f"/admin/webhooks/{webhook_id}", "webhook-tested")


class DeliveryPage(WebhookPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Read a delivery and its attempts"),
        "POST": page_of("manager", "Send a delivery again"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str, delivery_id: str) -> None:
        webhook = self.visible(req, webhook_id).view
        delivery = get_delivery(self.services.pool, webhook_id, delivery_id)
        if delivery is None:
            raise NotFound("delivery")
        refresh = refresh_while_due(req, delivery.next_attempt_at if webhook.enabled else None)
        if asks_for_part(req):
            pages.render(req, resp, "delivery_parts.html", delivery=delivery, refresh=refresh)
            return
        self.show(req, resp, "delivery.html", webhook=webhook, delivery=delivery, refresh=refresh)

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str, delivery_id: str) -> None:
        enabled_webhook(self.services.store, req.context.caller, webhook_id)
        if get_delivery(self.services.pool, webhook_id, delivery_id) is None:
            raise NotFound("delivery")
        redeliver(self.services.pool, webhook_id, delivery_id)
        self.go(resp, f"/admin/webhooks/{webhook_id}/deliveries/{delivery_id}", "delivery-repeated")


def _show_secret(
    page: PanelPage, req: falcon.Request, resp: falcon.Response, webhook: Webhook, done: str
) -> None:
    """Show the secret that this command generated; without one, redirect to the page of the webhook."""
    command_id = req.context.command().command_id
    secret = get_new_secret(page.services.pool, page.services.vault, webhook.id, command_id)
    if secret is None:
        page.go(resp, f"/admin/webhooks/{webhook.id}", done)
        return
    page.show(req, resp, "webhook_secret.html", webhook=webhook, secret=secret)
