"""Uses the Python client that openapi-generator makes of the OpenAPI document: the package `client`."""

from __future__ import annotations

import json
import os
from datetime import datetime

from client import (
    ApiClient,
    Configuration,
    Error,
    NewComment,
    NewSecret,
    NewTicket,
    NewWebhook,
    TicketChanges,
    TicketCreatedV1,
    TicketsApi,
    WebhooksApi,
)
from client.exceptions import UnprocessableEntityException
from reporting import report

PROPERTY_ID = os.environ["PROPERTY_ID"]
API = ApiClient(Configuration(host=os.environ["BASE_URL"], access_token=os.environ["API_KEY"]))
TICKETS, WEBHOOKS = TicketsApi(API), WebhooksApi(API)
created: dict[str, str] = {}


def list_by_page() -> None:
    found, page, pages = [], 1, 1
    while page <= pages:
        answer = TICKETS.list_tickets(page=page, per_page=2, property_id=[PROPERTY_ID])
        found += [ticket.id for ticket in answer.data]
        pages, page = answer.meta.pagination.total_pages, page + 1
    assert sorted(found) == json.loads(os.environ["TICKET_IDS"])


def list_by_cursor() -> None:
    found, cursor = [], ""
    while cursor is not None:
        answer = TICKETS.list_tickets(
            cursor=cursor, per_page=2, property_id=[PROPERTY_ID], status=["open", "in_progress"]
        )
        found += [ticket.id for ticket in answer.data]
        pagination = answer.meta.pagination
        cursor = pagination.next_cursor
        assert (pagination.links.next is None) == (cursor is None), pagination
    assert sorted(found) == json.loads(os.environ["TICKET_IDS"])


def create() -> None:
    body = NewTicket(title="Leak in Python", property_id=PROPERTY_ID, priority="high")
    ticket = TICKETS.create_ticket(body).data
    assert (ticket.title, ticket.priority, ticket.category) == ("Leak in Python", "high", "general"), ticket
    assert ticket.assigned_to is None, ticket
    assert isinstance(ticket.created_at, datetime), ticket
    created["id"] = ticket.id


def change() -> None:
    body = TicketChanges(status="in_progress", assigned_to=os.environ["ASSIGNEE_ID"])
    ticket = TICKETS.update_ticket(created["id"], body).data
    assert ticket.assigned_to.id == os.environ["ASSIGNEE_ID"], ticket
    ticket = TICKETS.update_ticket(created["id"], TicketChanges(assigned_to=None)).data
    assert (ticket.status, ticket.assigned_to) == ("in_progress", None), ticket


def comment() -> None:
    added = TICKETS.create_ticket_comment(created["id"], NewComment(text="On my way")).data
    listed = TICKETS.list_ticket_comments(created["id"]).data
    assert [(each.id, each.visibility) for each in listed] == [(added.id, "public")], listed


def upload() -> None:
    file = TICKETS.upload_ticket_attachment(created["id"], ("leak.txt", b"a photograph")).data
    assert (file.filename, file.size) == ("leak.txt", 12), file


def webhook() -> None:
    body = NewWebhook(url=os.environ["WEBHOOK_URL"], events=["ticket.created"])
    registered = WEBHOOKS.create_webhook(body).data
    rotated = WEBHOOKS.rotate_webhook_secret(registered.id, NewSecret()).data
    assert rotated.secret not in (None, "", registered.secret), rotated
    assert WEBHOOKS.delete_webhook(registered.id).status == "success"


def refused() -> None:
    body: object = None
    try:
        TICKETS.create_ticket(NewTicket(title="Leak", property_id="no-such-property"))
    except UnprocessableEntityException as failure:
        body = failure.data
    assert isinstance(body, Error), body
    assert body.error.code == "validation_error", body
    assert len(body.error.details["property_id"]) == 1, body


def receive() -> None:
    post = TicketCreatedV1.from_json(os.environ["WEBHOOK_BODY"])
    assert post is not None
    assert (post.event, post.data.title, post.data.assigned_to) == ("ticket.created", "Leak", None), post
    assert isinstance(post.timestamp, datetime), post


report(list_by_page, list_by_cursor, create, change, comment, upload, webhook, refused, receive)
