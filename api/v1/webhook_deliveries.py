"""/v1/webhooks/{id}/deliveries: reading deliveries and sending events again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import falcon
import msgspec

from api.http.bodies import read_values, respond
from api.http.etags import respond_if_modified
from api.http.paging import ListQuery, respond_with_page, slice_of
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.v1 import examples
from api.v1.webhook_replays import Replayed, recover, redeliver, replay_missing, send_test
from api.v1.webhook_views import DeliveryView, get_delivery, list_deliveries
from commands.webhooks import enabled_webhook, owned_webhook
from domain.errors import Invalid, NotFound
from domain.webhook import DeliveryStatus, MessageName

_ROLES = "manager and above, for webhooks that they manage"


class DeliveryQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: tuple[DeliveryStatus, ...] = ()
    event: tuple[MessageName, ...] = ()


class Since(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The start of the time span, with its offset from UTC."""

    since: datetime


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """`queued` is the number of dead deliveries that are due again."""

    queued: int


def _declare_sending(summary: str, description: str) -> Operation:
    """Declare an operation that answers with a delivery that is due immediately."""
    return Operation(
        summary=summary,
        description=f"{description} A body is ignored.",
        roles=_ROLES,
        scope="webhooks:write",
        answer=DeliveryView,
        answer_example=examples.DELIVERY,
        status=202,
        errors=("forbidden", "conflict"),
    )


class WebhookDeliveries(Resource):
    """Lists the deliveries of a webhook."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the deliveries of a webhook, newest first",
            description="Each delivery contains its request and its last 50 attempts, with the status, the"
            " first 2 kB of the answer, and the duration. A filter takes several values, separated by"
            " commas or in repeated parameters.",
            roles=_ROLES,
            scope="webhooks:read",
            query=DeliveryQuery,
            answer=DeliveryView,
            answer_example=[examples.DELIVERY],
            is_list=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        owned_webhook(self.services.store, req.context.caller, webhook_id)
        query = read_query(req, DeliveryQuery)
        part = slice_of(query, self.services.signing_key)
        page = list_deliveries(self.services.pool, webhook_id, part, statuses=query.status, names=query.event)
        respond_with_page(req, resp, page, query, self.services)


class WebhookDelivery(Resource):
    """Serves one delivery."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a delivery with its attempts",
            roles=_ROLES,
            scope="webhooks:read",
            query=NoQuery,
            answer=DeliveryView,
            answer_example=examples.DELIVERY,
            has_etag=True,
            answers_not_modified=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str, delivery_id: str) -> None:
        owned_webhook(self.services.store, req.context.caller, webhook_id)
        delivery = _require_found(get_delivery(self.services.pool, webhook_id, delivery_id))
        read_query(req, NoQuery)
        respond_if_modified(req, resp, delivery)


class WebhookRedelivery(Resource):
    """Sends one delivery again."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": _declare_sending(
            "Send a delivery again",
            "Sends the same message with the same `webhook-id`. The schedule of retries starts again.",
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str, delivery_id: str) -> None:
        enabled_webhook(self.services.store, req.context.caller, webhook_id)
        _require_found(get_delivery(self.services.pool, webhook_id, delivery_id))
        redeliver(self.services.pool, webhook_id, delivery_id)
        respond(resp, _require_found(get_delivery(self.services.pool, webhook_id, delivery_id)), status=202)


class WebhookTest(Resource):
    """Sends a test to a webhook."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": _declare_sending(
            "Send a test", "Sends a signed `webhook.test`. The list of deliveries shows the result."
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        enabled_webhook(self.services.store, req.context.caller, webhook_id)
        context = req.context.command()
        delivery_id = send_test(self.services.pool, webhook_id, context.command_id, datetime.now(UTC))
        respond(resp, _require_found(get_delivery(self.services.pool, webhook_id, delivery_id)), status=202)


class WebhookRecovery(Resource):
    """Sends dead deliveries again."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Send dead deliveries again",
            description="Sends the dead deliveries that were created since the given time.",
            roles=_ROLES,
            scope="webhooks:write",
            body=Since,
            body_example={"since": "2023-01-15T15:30:00Z"},
            answer=Recovered,
            answer_example={"queued": 3},
            status=202,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        since = _read_since(self, req, webhook_id)
        respond(resp, Recovered(queued=recover(self.services.pool, webhook_id, since)), status=202)


class WebhookReplay(Resource):
    """Sends events that have no delivery."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Send the events that have no delivery",
            description="Sends every event since the given time that the webhook subscribes to, that its"
            " owner may read and that has no delivery, including events from before the webhook was"
            " registered. Finished deliveries are deleted after 90 days, unless the operator has set another"
            " time; events before the last deleted delivery are not sent again. If `complete` is false, send"
            " the next request with `since` set to `continue_from`.",
            roles=_ROLES,
            scope="webhooks:write",
            body=Since,
            body_example={"since": "2023-01-15T15:30:00Z"},
            answer=Replayed,
            answer_example={"queued": 3, "complete": True, "continue_from": None},
            status=202,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        since = _read_since(self, req, webhook_id)
        replayed = replay_missing(
            self.services.pool,
            self.services.store,
            webhook_id,
            since,
            base_url=self.services.settings.base_url,
        )
        respond(resp, replayed, status=202)


def _read_since(resource: Resource, req: falcon.Request, webhook_id: str) -> datetime:
    values = read_values(req, Since)
    webhook = owned_webhook(resource.services.store, req.context.caller, webhook_id)
    since = values.read().since
    if since.tzinfo is None:
        message = "The since field must be a time with its offset, such as 2023-01-15T15:30:00Z."
        raise Invalid({"since": [message]})
    webhook.require_enabled()
    return since


def _require_found(delivery: DeliveryView | None) -> DeliveryView:
    if delivery is None:
        raise NotFound("delivery")
    return delivery
