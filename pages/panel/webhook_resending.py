"""/admin/webhooks/{id}/recover and /replay: sending failed and missing deliveries since a time again."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import falcon
import msgspec

from api.v1.webhook_replays import Replayed, count_missing, count_recoverable, recover, replay_missing
from commands.webhooks import enabled_webhook
from domain.errors import Invalid
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm
from pages.panel.page import REFUSALS, page_of
from pages.panel.webhooks import WebhookPage

TEMPLATE = "webhook_since.html"
PROPOSED = timedelta(days=1)


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of the page. `none`, `one` and `many` say what was found."""

    title: str
    explanation: str
    consequence: str
    none: str
    one: str
    many: str
    action: str


class Resending(WebhookPage):
    """A form for a time, a page that says how much would be sent and asks, and a form that sends it."""

    words: ClassVar[Words]
    path: ClassVar[str]
    done: ClassVar[str]

    @abstractmethod
    def count(self, webhook_id: str, since: datetime) -> Replayed:
        """What `send` would queue."""

    @abstractmethod
    def send(self, webhook_id: str, since: datetime) -> Replayed:
        """Queue the deliveries since that time."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        webhook = self.visible(req, webhook_id).view
        yesterday = (datetime.now(UTC) - PROPOSED).strftime("%Y-%m-%dT%H:%M")
        form = ShownForm({"since": req.get_param("since", default=yesterday)})
        self.show(req, resp, TEMPLATE, webhook=webhook, words=self.words, form=form, found=None)

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        webhook, text = self.visible(req, webhook_id).view, req.context.form.text("since")
        try:
            since = _read_since(text)
            enabled_webhook(self.services.store, req.context.caller, webhook_id)
        except REFUSALS as refusal:
            fields = {"since": text}
            self.show_refused(
                req, resp, TEMPLATE, fields, refusal, webhook=webhook, words=self.words, found=None
            )
            return
        if req.context.form.value("confirmed") == "yes":
            self._go_on(resp, webhook_id, self.send(webhook_id, since))
            return
        found, form = self.count(webhook_id, since), ShownForm({"since": text})
        self.show(req, resp, TEMPLATE, webhook=webhook, words=self.words, form=form, found=found, since=since)

    def _go_on(self, resp: falcon.Response, webhook_id: str, sent: Replayed) -> None:
        """Redirect to the webhook, or to this page if there is more to send."""
        here = f"/admin/webhooks/{webhook_id}"
        if sent.continue_from is None:
            self.go(resp, here, self.done)
            return
        since = sent.continue_from.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self.go(resp, f"{here}/{self.path}?since={since}", "events-partly-replayed")


class WebhookRecovery(Resending):
    """Sends dead deliveries again."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask since when failed deliveries are sent again"),
        "POST": page_of("manager", "Count failed deliveries, or send them again"),
    }
    path, done = "recover", "deliveries-recovered"
    words = Words(
        title="Resend failed deliveries",
        explanation="Sends the deliveries again that were created since a time and have failed for good."
        " Deliveries that are still pending need no help.",
        consequence="They are sent with the same content and the same webhook-id, so that a receiver that has"
        " some of them can recognise them.",
        none="no delivery has failed for good",
        one="failed delivery",
        many="failed deliveries",
        action="Send again",
    )

    def count(self, webhook_id: str, since: datetime) -> Replayed:
        return Replayed(queued=count_recoverable(self.services.pool, webhook_id, since), complete=True)

    def send(self, webhook_id: str, since: datetime) -> Replayed:
        return Replayed(queued=recover(self.services.pool, webhook_id, since), complete=True)


class WebhookReplay(Resending):
    """Sends events that have no delivery."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask since when missing events are sent"),
        "POST": page_of("manager", "Count missing events, or send them"),
    }
    path, done = "replay", "events-replayed"
    words = Words(
        title="Send missing events",
        explanation="Sends every event since a time that the webhook subscribes to, that its owner may read"
        " and that has no delivery, including events from before the webhook was registered. Events before"
        " the last deleted delivery are not sent again.",
        consequence="Each event is sent once, in the order of the log for each ticket.",
        none="every event has a delivery",
        one="event without a delivery",
        many="events without a delivery",
        action="Send",
    )

    def count(self, webhook_id: str, since: datetime) -> Replayed:
        pool, store, base_url = self.services.pool, self.services.store, self.services.settings.base_url
        return count_missing(pool, store, webhook_id, since, base_url=base_url)

    def send(self, webhook_id: str, since: datetime) -> Replayed:
        pool, store, base_url = self.services.pool, self.services.store, self.services.settings.base_url
        return replay_missing(pool, store, webhook_id, since, base_url=base_url)


def _read_since(text: str) -> datetime:
    """The time in UTC. Raises Invalid."""
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid({"since": ["Enter a date and a time such as 2030-01-31T15:30."]}) from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)
