"""The routes of the API and the pages, and the WSGI application that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import falcon

from api.http.admission import RESOURCE_METADATA_PATH
from api.http.errors import add_error_handlers
from api.http.gate import Gate
from api.http.openapi import OpenApi, describe
from api.http.openapi_parts import METADATA_PATH
from api.http.resource import Resource, verify
from api.http.services import Services
from api.monitoring.health import Live, Ready
from api.monitoring.metrics import Metrics
from api.oauth import token
from api.oauth.metadata import Metadata, ResourceMetadata
from api.oauth.token import IntrospectionEndpoint, RevocationEndpoint, TokenEndpoint
from api.v1.attachments import AttachmentFile, AttachmentItem, Attachments
from api.v1.audit import AuditEvents
from api.v1.bulk import TicketBulk
from api.v1.changes import Changes
from api.v1.comments import CommentItem, Comments
from api.v1.event_types import AsyncApi, EventSchema, EventTypes
from api.v1.events import Events
from api.v1.external_tickets import TicketByExternalId
from api.v1.history import TicketHistory
from api.v1.imports import Imports
from api.v1.proofs import EventProofs, Export, ExportManifest
from api.v1.properties import Properties, PropertyItem, UnitItem, Units
from api.v1.ticket_counts import TicketCounts
from api.v1.tickets import TicketItem, TicketRestoration, Tickets
from api.v1.users import OwnUser, UserErasure, UserItem, UserLink, Users
from api.v1.webhook_deliveries import (
    WebhookDeliveries,
    WebhookDelivery,
    WebhookRecovery,
    WebhookRedelivery,
    WebhookReplay,
    WebhookTest,
)
from api.v1.webhook_events import WebhookEvents, WebhookEventSchema
from api.v1.webhooks import WebhookItem, WebhookList, WebhookSecret
from pages import one_time_link
from pages.applications import Applications
from pages.common import rendering, unsent
from pages.common.context import Request
from pages.common.static_files import ICON_PATH, SCRIPT_PATH, STYLE_PATH, Icon, Script, Style
from pages.consent import Authorize
from pages.docs import Docs, DocsScript, DocsStyle
from pages.home import Home
from pages.panel.routes import PANEL, PANEL_FILES
from pages.sign_in import SignInPage, SignOut

# Below these paths errors are web pages. Elsewhere below /oauth/ they have the form of RFC 6749.
PAGE_PATHS = ("/admin", "/oauth/authorize", "/oauth/applications")

Routes = Sequence[tuple[str, type[Resource]]]

ROUTES: Routes = (
    ("/v1/tickets", Tickets),
    ("/v1/tickets/bulk", TicketBulk),
    ("/v1/tickets/count", TicketCounts),
    ("/v1/tickets/{ticket_id}", TicketItem),
    ("/v1/tickets/{ticket_id}/restore", TicketRestoration),
    ("/v1/tickets/by-external-id/{source}/{id:path}", TicketByExternalId),
    ("/v1/tickets/{ticket_id}/history", TicketHistory),
    ("/v1/tickets/{ticket_id}/comments", Comments),
    ("/v1/tickets/{ticket_id}/comments/{comment_id}", CommentItem),
    ("/v1/tickets/{ticket_id}/attachments", Attachments),
    ("/v1/tickets/{ticket_id}/attachments/{attachment_id}", AttachmentItem),
    ("/v1/attachments/{attachment_id}", AttachmentFile),
    ("/v1/imports", Imports),
    ("/v1/users", Users),
    ("/v1/users/me", OwnUser),
    ("/v1/users/{user_id}", UserItem),
    ("/v1/users/{user_id}/one-time-link", UserLink),
    ("/v1/users/{user_id}/erase", UserErasure),
    ("/v1/properties", Properties),
    ("/v1/properties/{property_id}", PropertyItem),
    ("/v1/properties/{property_id}/units", Units),
    ("/v1/properties/{property_id}/units/{unit_id}", UnitItem),
    ("/v1/changes", Changes),
    ("/v1/events", Events),
    ("/v1/event-types", EventTypes),
    ("/v1/event-types/{name}", EventSchema),
    ("/v1/webhook-events", WebhookEvents),
    ("/v1/webhook-events/{name}", WebhookEventSchema),
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

# Pages for browsers, and the OAuth 2.0 endpoints. The OpenAPI document does not contain them.
PAGES: Routes = (
    ("/", Home),
    ("/admin/sign-in", SignInPage),
    ("/admin/sign-out", SignOut),
    (one_time_link.PATH, one_time_link.OneTimeLinkPage),
    (STYLE_PATH, Style),
    (SCRIPT_PATH, Script),
    (ICON_PATH, Icon),
    ("/oauth/authorize", Authorize),
    ("/oauth/applications", Applications),
    ("/oauth/token", TokenEndpoint),
    ("/oauth/revoke", RevocationEndpoint),
    ("/oauth/introspect", IntrospectionEndpoint),
    (METADATA_PATH, Metadata),
    (RESOURCE_METADATA_PATH, ResourceMetadata),
    *PANEL,
    *PANEL_FILES,
)


def create_app(services: Services, routes: Routes = ROUTES) -> falcon.App[Any, Any]:
    """The WSGI application. Raises BadDeclaration if the operations of a resource do not fit it."""
    document = describe(routes, services.settings.base_url)
    page_failure = partial(unsent.render_failure, services)
    failures = dict.fromkeys(PAGE_PATHS, page_failure) | {"/oauth/": token.render_failure}
    gate = Gate(services, failures, PAGE_PATHS, partial(rendering.render_failure, is_api=True))
    app = falcon.App(middleware=[gate], request_type=Request)
    add_error_handlers(app)
    app.add_sink(gate.refuse_address, "/")
    for path, resource in (
        *((path, resource(services)) for path, resource in (*routes, *PAGES)),
        ("/v1/openapi.json", OpenApi(services, document)),
        ("/v1/asyncapi.json", AsyncApi(services)),
        ("/docs", Docs(services, document)),
        ("/docs/style.css", DocsStyle(services)),
        ("/docs/script.js", DocsScript(services)),
    ):
        verify(type(resource))
        app.add_route(path, resource)
    return app
