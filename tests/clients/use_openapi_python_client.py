"""Uses the client that openapi-python-client makes of the OpenAPI document: the package `client`."""

from __future__ import annotations

import json
import os
from datetime import datetime
from io import BytesIO

from client import AuthenticatedClient
from client.api.tickets import (
    create_ticket,
    create_ticket_comment,
    list_ticket_comments,
    list_tickets,
    update_ticket,
    upload_ticket_attachment,
)
from client.api.webhooks import create_webhook, delete_webhook, rotate_webhook_secret
from client.models import (
    AttachmentViewAnswer,
    CommentViewAnswer,
    CommentViewPage,
    EmptyAnswer,
    Error,
    FileUpload,
    ListTicketsStatusItem,
    NewComment,
    NewSecret,
    NewTicket,
    NewTicketPriority,
    NewWebhook,
    NewWebhookEventsItem,
    RegisteredWebhookAnswer,
    TicketChanges,
    TicketChangesStatus,
    TicketCreatedV1,
    TicketSummaryAnswer,
    TicketSummaryPage,
)
from client.types import UNSET, File
from reporting import report

PROPERTY_ID = os.environ["PROPERTY_ID"]
API = AuthenticatedClient(base_url=os.environ["BASE_URL"], token=os.environ["API_KEY"])
created: dict[str, str] = {}


def list_by_page() -> None:
    found, page, pages = [], 1, 1
    while page <= pages:
        answer = list_tickets.sync(client=API, page=page, per_page=2, property_id=[PROPERTY_ID])
        assert isinstance(answer, TicketSummaryPage), answer
        found += [ticket.id for ticket in answer.data]
        pages, page = answer.meta.pagination.total_pages, page + 1
    assert sorted(found) == json.loads(os.environ["TICKET_IDS"])


def list_by_cursor() -> None:
    found, cursor = [], ""
    while cursor is not None:
        answer = list_tickets.sync(
            client=API,
            cursor=cursor,
            per_page=2,
            property_id=[PROPERTY_ID],
            status=[ListTicketsStatusItem.OPEN, ListTicketsStatusItem.IN_PROGRESS],
        )
        assert isinstance(answer, TicketSummaryPage), answer
        found += [ticket.id for ticket in answer.data]
        pagination = answer.meta.pagination
        cursor = pagination.next_cursor
        assert (pagination.links.next_ is UNSET) == (cursor is None), pagination
    assert sorted(found) == json.loads(os.environ["TICKET_IDS"])


def create() -> None:
    body = NewTicket(title="Leak in Python", property_id=PROPERTY_ID, priority=NewTicketPriority.HIGH)
    answer = create_ticket.sync(client=API, body=body)
    assert isinstance(answer, TicketSummaryAnswer), answer
    ticket = answer.data
    assert (ticket.title, ticket.priority, ticket.category) == ("Leak in Python", "high", "general"), ticket
    assert ticket.assigned_to is None, ticket
    assert isinstance(ticket.created_at, datetime), ticket
    created["id"] = ticket.id


def change() -> None:
    body = TicketChanges(status=TicketChangesStatus.IN_PROGRESS, assigned_to=os.environ["ASSIGNEE_ID"])
    answer = update_ticket.sync(created["id"], client=API, body=body)
    assert isinstance(answer, TicketSummaryAnswer), answer
    assert answer.data.assigned_to.id == os.environ["ASSIGNEE_ID"], answer
    answer = update_ticket.sync(created["id"], client=API, body=TicketChanges(assigned_to=None))
    assert isinstance(answer, TicketSummaryAnswer), answer
    assert (answer.data.status, answer.data.assigned_to) == ("in_progress", None), answer


def comment() -> None:
    answer = create_ticket_comment.sync(created["id"], client=API, body=NewComment(text="On my way"))
    assert isinstance(answer, CommentViewAnswer), answer
    listed = list_ticket_comments.sync(created["id"], client=API)
    assert isinstance(listed, CommentViewPage), listed
    assert [(each.id, each.visibility) for each in listed.data] == [(answer.data.id, "public")], listed


def upload() -> None:
    file = File(payload=BytesIO(b"a photograph"), file_name="leak.txt", mime_type="text/plain")
    answer = upload_ticket_attachment.sync(created["id"], client=API, body=FileUpload(file=file))
    assert isinstance(answer, AttachmentViewAnswer), answer
    assert (answer.data.filename, answer.data.size) == ("leak.txt", 12), answer


def webhook() -> None:
    body = NewWebhook(url=os.environ["WEBHOOK_URL"], events=[NewWebhookEventsItem.TICKET_CREATED])
    answer = create_webhook.sync(client=API, body=body)
    assert isinstance(answer, RegisteredWebhookAnswer), answer
    rotated = rotate_webhook_secret.sync(answer.data.id, client=API, body=NewSecret())
    assert isinstance(rotated, RegisteredWebhookAnswer), rotated
    assert rotated.data.secret not in (UNSET, "", answer.data.secret), rotated
    deleted = delete_webhook.sync(answer.data.id, client=API)
    assert isinstance(deleted, EmptyAnswer), deleted


def refused() -> None:
    answer = create_ticket.sync(client=API, body=NewTicket(title="Leak", property_id="no-such-property"))
    assert isinstance(answer, Error), answer
    assert answer.error.code == "validation_error", answer
    assert len(answer.error.details["property_id"]) == 1, answer


def receive() -> None:
    post = TicketCreatedV1.from_dict(json.loads(os.environ["WEBHOOK_BODY"]))
    assert (post.event, post.data.title, post.data.assigned_to) == ("ticket.created", "Leak", None), post
    assert isinstance(post.timestamp, datetime), post


report(list_by_page, list_by_cursor, create, change, comment, upload, webhook, refused, receive)
