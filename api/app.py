"""The API's table of contents: every address, and the class that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon

from api.admin.routes import PANEL
from api.attachments import AttachmentFile, Attachments
from api.audit import AuditEvents
from api.comments import Comments
from api.context import Request
from api.docs import Docs, DocsStyle
from api.errors import add_error_handlers
from api.event_types import AsyncApi, EventSchema, EventTypes
from api.events import Events
from api.gate import Gate
from api.health import Live, Ready
from api.history import TicketHistory
from api.metrics import Metrics
from api.oauth.applications import Applications
from api.oauth.authorize import Authorize
from api.oauth.metadata import Metadata
from api.oauth.token import IntrospectionEndpoint, RevocationEndpoint, TokenEndpoint
from api.openapi import OpenApi, describe
from api.openapi_parts import METADATA_PATH
from api.proofs import EventProofs, Export, ExportManifest
from api.properties import Properties, PropertyItem, Units
from api.resource import Resource, verify
from api.services import Services
from api.tickets import TicketItem, TicketRestoration, Tickets
from api.users import UserErasure, UserItem, Users
from api.web.pages import STYLE_PATH, Style
from api.web.sign_in import SignInPage, SignOut
from api.webhook_deliveries import (
    WebhookDeliveries,
    WebhookDelivery,
    WebhookRecovery,
    WebhookRedelivery,
    WebhookReplay,
    WebhookTest,
)
from api.webhooks import WebhookItem, WebhookList, WebhookSecret

Routes = Sequence[tuple[str, type[Resource]]]

ROUTES: Routes = (
    ("/v1/tickets", Tickets),
    ("/v1/tickets/{ticket_id}", TicketItem),
    ("/v1/tickets/{ticket_id}/restore", TicketRestoration),
    ("/v1/tickets/{ticket_id}/history", TicketHistory),
    ("/v1/tickets/{ticket_id}/comments", Comments),
    ("/v1/tickets/{ticket_id}/attachments", Attachments),
    ("/v1/attachments/{attachment_id}", AttachmentFile),
    ("/v1/users", Users),
    ("/v1/users/{user_id}", UserItem),
    ("/v1/users/{user_id}/erase", UserErasure),
    ("/v1/properties", Properties),
    ("/v1/properties/{property_id}", PropertyItem),
    ("/v1/properties/{property_id}/units", Units),
    ("/v1/events", Events),
    ("/v1/event-types", EventTypes),
    ("/v1/event-types/{name}", EventSchema),
    ("/v1/webhooks", WebhookList),
    ("/v1/webhooks/{webhook_id}", WebhookItem),
    ("/v1/webhooks/{webhook_id}/rotate", WebhookSecret),
    ("/v1/webhooks/{webhook_id}/test", WebhookTest),
    ("/v1/webhooks/{webhook_id}/deliveries", WebhookDeliveries),
    ("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}", WebhookDelivery),
    ("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", WebhookRedelivery),
    ("/v1/webhooks/{webhook_id}/recover", WebhookRecovery),
    ("/v1/webhooks/{webhook_id}/replay", WebhookReplay),
    ("/v1/audit/events", AuditEvents),
    ("/v1/audit/export", Export),
    ("/v1/audit/export/manifest", ExportManifest),
    ("/v1/audit/events/{event_id}/proof", EventProofs),
    ("/health/live", Live),
    ("/health/ready", Ready),
    ("/metrics", Metrics),
)

# For browsers, and OAuth 2.0 as its own standards describe it; not part of the API's document.
PAGES: Routes = (
    ("/admin/sign-in", SignInPage),
    ("/admin/sign-out", SignOut),
    (STYLE_PATH, Style),
    ("/oauth/authorize", Authorize),
    ("/oauth/applications", Applications),
    ("/oauth/token", TokenEndpoint),
    ("/oauth/revoke", RevocationEndpoint),
    ("/oauth/introspect", IntrospectionEndpoint),
    (METADATA_PATH, Metadata),
    *PANEL,
)


def create_app(services: Services, routes: Routes = ROUTES) -> falcon.App[Any, Any]:
    """The WSGI application. Raises BadDeclaration when a resource's methods and operations differ."""
    document = describe(routes, services.settings.base_url)
    app = falcon.App(middleware=[Gate(services)], request_type=Request)
    add_error_handlers(app)
    for path, resource in (
        *((path, resource(services)) for path, resource in (*routes, *PAGES)),
        ("/v1/openapi.json", OpenApi(services, document)),
        ("/v1/asyncapi.json", AsyncApi(services)),
        ("/docs", Docs(services, document)),
        ("/docs/style.css", DocsStyle(services)),
    ):
        verify(type(resource))
        app.add_route(path, resource)
    return app
