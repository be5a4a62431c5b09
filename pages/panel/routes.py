"""The paths of the panel and their pages."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.resource import Resource
from pages.panel.audit import AuditEvent, AuditSearch
from pages.panel.audit_files import AuditExports, ExportDownload, ManifestDownload, ProofDownload
from pages.panel.checks import Checks
from pages.panel.clients import ClientList, ClientRegistration, ClientRevocation, ClientRotation
from pages.panel.comments import CommentEditing, CommentRemoval, TicketComments
from pages.panel.deleted_tickets import DeletedTickets
from pages.panel.files import FileRemoval, FileUpload
from pages.panel.health import Health
from pages.panel.history_pages import PersonHistory, PropertyHistory
from pages.panel.keys import KeyCreation, KeyList, KeyRevocation
from pages.panel.news import ListNews, TicketNews
from pages.panel.overview import Overview
from pages.panel.own_password import OwnPassword
from pages.panel.own_tickets import OwnTicket, OwnTickets, Report
from pages.panel.people import People, PersonItem, PersonRegistration
from pages.panel.person_access import (
    PersonDeactivation,
    PersonErasure,
    PersonInvitation,
    PersonLink,
    PersonPassword,
    PersonReactivation,
)
from pages.panel.pictures import Picture, PicturePage, Thumbnail
from pages.panel.places import (
    PropertyItem,
    PropertyList,
    PropertyRegistration,
    UnitAddition,
    UnitItem,
)
from pages.panel.saved_views import SavedViews
from pages.panel.ticket_bulk import TicketBulk
from pages.panel.ticket_history import TicketHistoryPage
from pages.panel.ticket_list import TicketCsv, TicketList
from pages.panel.ticket_opening import TicketOpening
from pages.panel.ticket_texts import TicketTexts
from pages.panel.tickets import (
    TicketDeletion,
    TicketItem,
    TicketRestoring,
)
from pages.panel.webhook_resending import WebhookRecovery, WebhookReplay
from pages.panel.webhooks import (
    DeliveryPage,
    WebhookDeletion,
    WebhookItemPage,
    WebhookList,
    WebhookRegistration,
    WebhookRotation,
    WebhookSwitch,
    WebhookTest,
)

PANEL: Sequence[tuple[str, type[Resource]]] = (
    ("/admin", Overview),
    ("/admin/my", OwnTickets),
    ("/admin/my/new", Report),
    ("/admin/my/{ticket_id}", OwnTicket),
    ("/admin/tickets", TicketList),
    ("/admin/tickets/deleted", DeletedTickets),
    ("/admin/views", SavedViews),
    ("/admin/tickets/new", TicketOpening),
    ("/admin/tickets/change", TicketBulk),
    ("/admin/tickets/{ticket_id}", TicketItem),
    ("/admin/tickets/{ticket_id}/edit", TicketTexts),
    ("/admin/tickets/{ticket_id}/comments", TicketComments),
    ("/admin/tickets/{ticket_id}/comments/{comment_id}", CommentEditing),
    ("/admin/tickets/{ticket_id}/comments/{comment_id}/remove", CommentRemoval),
    ("/admin/tickets/{ticket_id}/attachments", FileUpload),
    ("/admin/tickets/{ticket_id}/attachments/{attachment_id}", PicturePage),
    ("/admin/tickets/{ticket_id}/attachments/{attachment_id}/remove", FileRemoval),
    ("/admin/tickets/{ticket_id}/history", TicketHistoryPage),
    ("/admin/tickets/{ticket_id}/delete", TicketDeletion),
    ("/admin/tickets/{ticket_id}/restore", TicketRestoring),
    ("/admin/properties", PropertyList),
    ("/admin/properties/new", PropertyRegistration),
    ("/admin/properties/{property_id}", PropertyItem),
    ("/admin/properties/{property_id}/history", PropertyHistory),
    ("/admin/properties/{property_id}/units", UnitAddition),
    ("/admin/properties/{property_id}/units/{unit_id}", UnitItem),
    ("/admin/users", People),
    ("/admin/users/new", PersonRegistration),
    ("/admin/users/{user_id}", PersonItem),
    ("/admin/users/{user_id}/history", PersonHistory),
    ("/admin/users/{user_id}/password", PersonPassword),
    ("/admin/users/{user_id}/one-time-link", PersonLink),
    ("/admin/users/{user_id}/invitation", PersonInvitation),
    ("/admin/users/{user_id}/deactivate", PersonDeactivation),
    ("/admin/users/{user_id}/reactivate", PersonReactivation),
    ("/admin/users/{user_id}/erase", PersonErasure),
    ("/admin/password", OwnPassword),
    ("/admin/keys", KeyList),
    ("/admin/keys/new", KeyCreation),
    ("/admin/keys/{key_id}/revoke", KeyRevocation),
    ("/admin/clients", ClientList),
    ("/admin/clients/new", ClientRegistration),
    ("/admin/clients/{client_id}/rotate", ClientRotation),
    ("/admin/clients/{client_id}/revoke", ClientRevocation),
    ("/admin/webhooks", WebhookList),
    ("/admin/webhooks/new", WebhookRegistration),
    ("/admin/webhooks/{webhook_id}", WebhookItemPage),
    ("/admin/webhooks/{webhook_id}/switch", WebhookSwitch),
    ("/admin/webhooks/{webhook_id}/rotate", WebhookRotation),
    ("/admin/webhooks/{webhook_id}/delete", WebhookDeletion),
    ("/admin/webhooks/{webhook_id}/test", WebhookTest),
    ("/admin/webhooks/{webhook_id}/recover", WebhookRecovery),
    ("/admin/webhooks/{webhook_id}/replay", WebhookReplay),
    ("/admin/webhooks/{webhook_id}/deliveries/{delivery_id}", DeliveryPage),
    ("/admin/health", Health),
    ("/admin/audit", AuditSearch),
    ("/admin/audit/events/{position}", AuditEvent),
    ("/admin/audit/exports", AuditExports),
    ("/admin/checks", Checks),
)

# Files and answers to scripts, which are not pages.
PANEL_FILES: Sequence[tuple[str, type[Resource]]] = (
    ("/admin/tickets/{ticket_id}/news", TicketNews),
    ("/admin/tickets/news", ListNews),
    ("/admin/tickets/csv", TicketCsv),
    ("/admin/audit/export", ExportDownload),
    ("/admin/audit/export/manifest", ManifestDownload),
    ("/admin/audit/events/{position}/proof", ProofDownload),
    ("/admin/tickets/{ticket_id}/attachments/{attachment_id}/thumbnail", Thumbnail),
    ("/admin/tickets/{ticket_id}/attachments/{attachment_id}/picture", Picture),
)
