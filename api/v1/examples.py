"""The examples of the API reference, for the OpenAPI document and /docs."""

from __future__ import annotations

from typing import Any

_CREATED = "2023-01-15T15:30:00Z"
_PROPERTY = {"id": "abc123", "name": "Seaside Apartments"}
_JANE = {"id": "user101", "name": "Jane Smith"}

NEW_TICKET: dict[str, Any] = {
    "title": "Water leak in bathroom",
    "description": "There is water leaking from the ceiling in the bathroom",
    "priority": "high",
    "category": "plumbing",
    "property_id": "abc123",
    "unit_id": "unit456",
}
TICKET: dict[str, Any] = {
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "title": "Water leak in bathroom",
    "description": "There is water leaking from the ceiling in the bathroom",
    "status": "open",
    "priority": "high",
    "category": "plumbing",
    "created_at": _CREATED,
    "updated_at": _CREATED,
    "property": _PROPERTY,
    "unit": {"id": "unit456", "name": "Unit 101"},
    "requester": {"id": "user789", "name": "John Doe"},
    "assigned_to": _JANE,
    "number": 1042,
    "tags": ["leak", "urgent"],
    "external_ids": {"sap": "4711"},
}
OPENED_TICKET = TICKET | {"assigned_to": None, "tags": [], "external_ids": {}}
TICKET_VALUES: dict[str, Any] = NEW_TICKET | {"status": "in_progress", "tags": ["leak", "urgent"]}
TICKET_CHANGES: dict[str, Any] = {"status": "in_progress", "assigned_to": "user101"}
CHANGED_TICKET = TICKET | {"status": "in_progress", "updated_at": "2023-01-15T16:30:00Z"}
ATTACHMENT: dict[str, Any] = {
    "id": "attach123",
    "filename": "leak.jpg",
    "url": "https://example.com/files/leak.jpg",
    "size": 1024000,
    "content_type": "image/jpeg",
    "created_at": _CREATED,
}
_COMMENT: dict[str, Any] = {
    "id": "comment123",
    "text": "I'll check this out this afternoon.",
    "user": _JANE,
    "created_at": "2023-01-15T16:00:00Z",
}
TICKET_DETAIL = TICKET | {"attachments": [ATTACHMENT], "comments": [_COMMENT], "comments_count": 1}
TICKET_DETAIL["allowed_statuses"] = ["in_progress", "closed"]
NEW_COMMENT: dict[str, Any] = {"text": _COMMENT["text"], "visibility": "public"}
COMMENT = {
    "id": "comment123",
    "text": _COMMENT["text"],
    "user": _JANE,
    "visibility": "public",
    "created_at": "2023-01-15T16:00:00Z",
    "edited_at": None,
}
COMMENT_CHANGES: dict[str, Any] = {"text": "I'll check this out tomorrow morning."}
EDITED_COMMENT = COMMENT | COMMENT_CHANGES | {"edited_at": "2023-01-15T16:10:00Z"}

HISTORY: list[dict[str, Any]] = [
    {
        "version": 2,
        "time": "2023-01-15T16:30:00Z",
        "exact_time": "2023-01-15T16:30:00.251846Z",
        "action": "ticket.status_changed",
        "actor": {"user": _JANE, "role": "staff"},
        "auth": {"kind": "api_key", "key_id": "key_7q2m"},
        "request_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "address_prefix": "203.0.113.0/24",
        "changes": {"status": {"from": "open", "to": "in_progress"}},
    }
]

AUDIT_EVENTS: list[dict[str, Any]] = [
    {
        "id": "6f3c2f0e-3f0a-5b0e-9d3f-1f1f6f0e2c11",
        "position": 1742,
        "version": 3,
        "time": "2023-01-15T16:30:00Z",
        "exact_time": "2023-01-15T16:30:00.251846Z",
        "action": "user.role_changed",
        "subject_id": "user101",
        "property_ids": ["abc123"],
        "actor": {"user": {"id": "user050", "name": "Max Manager"}, "role": "manager"},
        "auth": {"kind": "api_key", "key_id": "key_7q2m"},
        "request_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "address_prefix": "203.0.113.0/24",
        "facts": {"role": "staff"},
    }
]

USER: dict[str, Any] = {
    "id": "user101",
    "name": "Jane Smith",
    "email": "jane.smith@example.com",
    "role": "staff",
    "created_at": "2022-12-01T10:00:00Z",
    "properties": [_PROPERTY],
    "active": True,
    "external_ids": {"hr": "7-101"},
}
USER_DETAIL: dict[str, Any] = {
    "id": "user101",
    "name": "Jane Smith",
    "email": "jane.smith@example.com",
    "phone": "555-123-4567",
    "role": "staff",
    "created_at": "2022-12-01T10:00:00Z",
    "updated_at": "2023-01-15T16:30:00Z",
    "properties": [_PROPERTY],
    "preferences": {"notifications": {"email": True, "sms": False}},
    "active": True,
    "external_ids": {"hr": "7-101"},
}
ONE_TIME_LINK: dict[str, Any] = {
    "url": "https://api.example.com/admin/one-time-link?link=mtl_...",
    "expires_at": "2023-01-16T16:30:00Z",
}
ERASED_USER: dict[str, Any] = {
    **USER_DETAIL,
    "name": "Erased user",
    "email": "erased@user.invalid",
    "phone": None,
    "role": "guest",
    "properties": [],
    "preferences": {"notifications": {"email": True, "sms": False}},
    "active": False,
    "external_ids": {},
}
NEW_USER: dict[str, Any] = {
    "name": "Jane Smith",
    "email": "jane.smith@example.com",
    "phone": "555-123-4567",
    "role": "staff",
    "property_ids": ["abc123"],
}
USER_CHANGES: dict[str, Any] = {"phone": None, "preferences": {"notifications": {"sms": True}}}

ADDRESS: dict[str, Any] = {
    "street": "123 Ocean Drive",
    "city": "Beachtown",
    "state": "CA",
    "zip": "90210",
    "country": "USA",
}
NEW_PROPERTY: dict[str, Any] = {"name": "Seaside Apartments", "address": ADDRESS}
PROPERTY: dict[str, Any] = {
    "id": "abc123",
    "name": "Seaside Apartments",
    "address": ADDRESS,
    "units_count": 50,
    "active_tickets_count": 12,
    "external_ids": {"sap": "PR-17"},
}
UNIT: dict[str, Any] = {"id": "unit456", "name": "Unit 101", "external_ids": {}}
PROPERTY_DETAIL = PROPERTY | {"units": [UNIT]}

EVENT_TYPE: dict[str, Any] = {
    "name": "ticket.assigned.v1",
    "type": "ticket.assigned",
    "version": 1,
    "title": "TicketAssigned",
    "schema": "https://api.example.com/v1/event-types/ticket.assigned.v1",
}
WEBHOOK_EVENT: dict[str, Any] = {
    "name": "ticket.created.v1",
    "event": "ticket.created",
    "version": 1,
    "description": "A ticket was opened.",
    "schema": "https://api.example.com/v1/webhook-events/ticket.created.v1",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "6f1ed002-ab5a-5f62-9a4c-1d6c1f4b4b0e",
    "source": "https://api.example.com",
    "type": "ticket.assigned",
    "subject": "123e4567-e89b-12d3-a456-426614174000",
    "time": "2023-01-15T15:30:00.250000Z",
    "datacontenttype": "application/json",
    "dataschema": "https://api.example.com/v1/event-types/ticket.assigned.v1",
    "sequence": "00000000000000000042",
    "ticketversion": "2",
    "partitionkey": "123e4567-e89b-12d3-a456-426614174000",
    "traceparent": "00-01890a5dac96774bbcceb302099a8057-1f3a5b7c9d0e2f46-01",
    "data": {
        "type": "ticket.assigned",
        "assignee_id": "user101",
        "event_id": "6f1ed002-ab5a-5f62-9a4c-1d6c1f4b4b0e",
        "originator_id": "123e4567-e89b-12d3-a456-426614174000",
        "originator_version": 2,
        "occurred_at": "2023-01-15T15:30:00.250000Z",
        "actor": {"user_id": "user050", "role": "manager", "auth": "api_key", "credential_id": "5kq0Zr2x"},
        "request_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "causation_id": "01890a5d-ac96-774b-bcce-b302099a8058",
        "source_prefix": "203.0.113.0/24",
    },
}
NEW_WEBHOOK: dict[str, Any] = {
    "url": "https://your-server.com/webhook-endpoint",
    "events": ["ticket.created", "ticket.updated", "ticket.resolved"],
    "secret": "your_webhook_secret",
    "payload_version": 2,
    "filter": {"priority": {"in": ["high", "critical"]}},
    "max_per_second": 5,
    "headers": {"X-Environment": "production"},
}
REGISTERED_WEBHOOK: dict[str, Any] = {
    "id": "webhook123",
    "url": "https://your-server.com/webhook-endpoint",
    "events": ["ticket.created", "ticket.updated", "ticket.resolved"],
    "created_at": _CREATED,
}
WEBHOOK = REGISTERED_WEBHOOK | {
    "updated_at": _CREATED,
    "enabled": True,
    "disabled_reason": None,
    "failures": 0,
    "failing_since": None,
    "access_ended": False,
    "payload_version": 2,
    "payload": "full",
    "filter": {"priority": {"in": ["high", "critical"]}},
    "max_per_second": 5,
    "max_in_flight": None,
    "header_names": ["X-Environment"],
}
_WEBHOOK_HEADERS = {
    "webhook-id": "msg_1b2c3d4e5f60718293a4b5c6d7e8f901",
    "webhook-timestamp": "1673796600",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}
DELIVERY: dict[str, Any] = {
    "id": "1042",
    "message_id": "msg_1b2c3d4e5f60718293a4b5c6d7e8f901",
    "event": "ticket.created",
    "status": "delivered",
    "created_at": _CREATED,
    "finished_at": _CREATED,
    "next_attempt_at": None,
    "response_status": 200,
    "latency_ms": 84,
    "request": {
        "url": "https://your-server.com/webhook-endpoint",
        "headers": _WEBHOOK_HEADERS,
        "body": '{"event":"ticket.created","timestamp":"2023-01-15T15:30:00Z","data":{}}',
    },
    "attempts": [
        {
            "attempt": 1,
            "at": _CREATED,
            "url": "https://your-server.com/webhook-endpoint",
            "headers": _WEBHOOK_HEADERS,
            "response_status": 200,
            "response_body": "OK",
            "error": None,
            "latency_ms": 84,
        }
    ],
}
BULK: dict[str, Any] = {
    "operations": [
        {"op": "create", "data": NEW_TICKET},
        {"op": "change", "ticket_id": TICKET["id"], "if_match": 3, "data": TICKET_CHANGES},
    ]
}
BULK_RESULTS: list[dict[str, Any]] = [
    {"index": 0, "status": 201, "data": OPENED_TICKET},
    {
        "index": 1,
        "status": 412,
        "error": {
            "code": "precondition_failed",
            "message": 'The current version is "4". Read the object again, and repeat the change with its'
            " ETag, in quotation marks, as If-Match.",
            "details": {},
        },
    },
]
IMPORT: dict[str, Any] = {
    "source": "sap",
    "items": [
        {"kind": "user", "external_id": "4711", "name": "John Doe", "email": "john.doe@example.com"},
        {
            "kind": "ticket",
            "external_id": "T-1042",
            "title": NEW_TICKET["title"],
            "property": "abc123",
            "requester": "4711",
            "created_at": "2019-05-04T09:30:00Z",
            "status": "closed",
            "closed_at": "2019-05-06T16:00:00Z",
            "comments": [{"author": "user101", "text": "Done.", "created_at": "2019-05-06T15:55:00Z"}],
        },
    ],
}
IMPORT_REPORT: dict[str, Any] = {
    "created": 1,
    "unchanged": 0,
    "refused": [
        {
            "index": 0,
            "code": "validation_error",
            "message": "The email field must be an e-mail address.",
            "details": {"email": ["The email field must be an e-mail address."]},
        }
    ],
}
