# Made by generate.py from the OpenAPI document of the API. Do not edit.
"""A function for each operation of the API. It returns the call; a client sends it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from ticketing_client.calls import Call, Upload
from ticketing_client.models import (
    AttachmentView,
    AuditEntry,
    BulkOperations,
    BulkResult,
    ChangesAnswer,
    CommentChanges,
    CommentView,
    DeliveryView,
    EventFeed,
    EventProof,
    EventType,
    HistoryEntry,
    ImportReport,
    Liveness,
    NewComment,
    NewImport,
    NewProperty,
    NewSecret,
    NewTicket,
    NewUnit,
    NewUser,
    NewWebhook,
    OneTimeLink,
    PropertyChanges,
    PropertyDetail,
    PropertySummary,
    Readiness,
    Recovered,
    RegisteredWebhook,
    Replayed,
    Since,
    TicketChanges,
    TicketCount,
    TicketDetail,
    TicketSummary,
    TicketValues,
    UnitChanges,
    UnitView,
    UserChanges,
    UserDetail,
    UserSummary,
    WebhookChanges,
    WebhookEvent,
    WebhookView,
)


def list_tickets(
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    status: list[Literal["closed", "in_progress", "open"]] | None = None,
    priority: list[Literal["critical", "high", "low", "medium"]] | None = None,
    category: list[str] | None = None,
    tag: list[str] | None = None,
    external_id: list[str] | None = None,
    assigned_to: list[str] | None = None,
    requester_id: list[str] | None = None,
    property_id: list[str] | None = None,
    unit_id: list[str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    updated_after: datetime | None = None,
    updated_before: datetime | None = None,
    q: str | None = None,
    as_of: datetime | None = None,
    sort: Literal["created_at", "priority", "relevance", "updated_at"] | None = None,
    order: Literal["asc", "desc"] | None = None,
    fields: list[str] | None = None,
    include: list[Literal["attachments", "comments", "history"]] | None = None,
) -> Call[list[TicketSummary]]:
    """List tickets.

    Filters with a list take several values, separated by commas or in repeated parameters. `assigned_to=none` finds unassigned tickets, `assigned_to=me` those of the key's user, `requester_id=me` those that this user requested, and `assigned_to=inactive` those whose assignee is deactivated or erased, or has lost access to the property; closed ones only if `status` says so. An id that does not exist matches nothing; a value that no ticket can have is refused. `q` searches title, description and visible comments. For a list of any length start with an empty `cursor=` and follow `links.next`. With `as_of` the list shows the tickets as they were at that moment: filters and order apply to their state then. The names of properties, units and users are current. `external_id` finds the tickets that have the ids now, also with `as_of`. With `fields` answers lack fields that the schema requires.

    With `Accept: text/csv` the answer is the whole list as a CSV file, however long it is, in UTF-8 with a byte order mark. Its columns are `id`, `title`, `description`, `status`, `priority`, `category`, `created_at`, `updated_at`, `property_id`, `property_name`, `unit_id`, `unit_name`, `requester_id`, `requester_name`, `assigned_to_id`, `assigned_to_name`, `number`, `tags`, `external_ids`; `fields` selects among them. A text that begins with a character that spreadsheet programs take for the start of a formula gets an apostrophe before it. `page`, `per_page`, `cursor` and `include` are refused. A transfer that ends without the last chunk is incomplete.

    Scope: `tickets:read`.

    Roles: all; guests see the tickets that they requested, others the tickets of their properties.
    """
    return Call(
        method="GET",
        path="/v1/tickets",
        query={
            "page": page,
            "per_page": per_page,
            "cursor": cursor,
            "status": status,
            "priority": priority,
            "category": category,
            "tag": tag,
            "external_id": external_id,
            "assigned_to": assigned_to,
            "requester_id": requester_id,
            "property_id": property_id,
            "unit_id": unit_id,
            "created_after": created_after,
            "created_before": created_before,
            "updated_after": updated_after,
            "updated_before": updated_before,
            "q": q,
            "as_of": as_of,
            "sort": sort,
            "order": order,
            "fields": fields,
            "include": include,
        },
        answer=list[TicketSummary],
    )


def create_ticket(body: NewTicket, *, idempotency_key: str | None = None) -> Call[TicketSummary]:
    """Open a ticket.

    Only managers and admins may give `requester_id`; by default it is the caller. `tags` are sorted and without duplicates in answers. An external id that another ticket has is refused with 409.

    Scope: `tickets:write`.

    Roles: all, for properties within reach; guests may give no tags and no external ids.
    """
    return Call(
        method="POST",
        path="/v1/tickets",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=TicketSummary,
    )


def bulk_tickets(body: BulkOperations, *, idempotency_key: str | None = None) -> Call[list[BulkResult]]:
    """Create, change, comment on and delete up to 100 tickets.

    The operations are applied in order. Each is allowed, refused and recorded as the single request would be; a refused one does not affect the others. With `atomic` all are applied, or none: then the operations that were not refused themselves have the status 424 and the code `not_applied`. The request counts once for the rate limit, and its Idempotency-Key covers all operations. The body may have 8 MiB, each operation 1 MiB. The answer is 200 also if all operations were refused.

    Scope: `tickets:write`.

    Roles: as for the single requests.
    """
    return Call(
        method="POST",
        path="/v1/tickets/bulk",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=list[BulkResult],
    )


def count_tickets(
    *,
    status: list[Literal["closed", "in_progress", "open"]] | None = None,
    priority: list[Literal["critical", "high", "low", "medium"]] | None = None,
    category: list[str] | None = None,
    tag: list[str] | None = None,
    external_id: list[str] | None = None,
    assigned_to: list[str] | None = None,
    requester_id: list[str] | None = None,
    property_id: list[str] | None = None,
    unit_id: list[str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    updated_after: datetime | None = None,
    updated_before: datetime | None = None,
    q: str | None = None,
    as_of: datetime | None = None,
) -> Call[TicketCount]:
    """Count tickets.

    Takes the filters of the list of tickets, and returns how many tickets it has.

    Scope: `tickets:read`.

    Roles: all; guests count the tickets that they requested, others the tickets of their properties.
    """
    return Call(
        method="GET",
        path="/v1/tickets/count",
        query={
            "status": status,
            "priority": priority,
            "category": category,
            "tag": tag,
            "external_id": external_id,
            "assigned_to": assigned_to,
            "requester_id": requester_id,
            "property_id": property_id,
            "unit_id": unit_id,
            "created_after": created_after,
            "created_before": created_before,
            "updated_after": updated_after,
            "updated_before": updated_before,
            "q": q,
            "as_of": as_of,
        },
        answer=TicketCount,
    )


def get_ticket(
    ticket_id: str,
    *,
    as_of: datetime | None = None,
    version: int | None = None,
    fields: list[str] | None = None,
    include: list[Literal["attachments", "comments", "history"]] | None = None,
    if_none_match: str | None = None,
) -> Call[TicketDetail]:
    """Read a ticket with its newest comments and its attachments.

    `comments` has the newest 100 comments, the oldest of them first; `comments_count` is the number of all. GET /v1/tickets/{ticket_id}/comments lists the others. `allowed_statuses` are the other statuses that this key may set now; none in an earlier state. Returns the current ticket or, with `as_of` or `version`, an earlier state of it. An earlier state is visible to callers who may see the ticket now, or could see it then. If the ticket is deleted now, reading an earlier state requires the scope `audit:read` and the role staff or above. Names are current. Comments and files that were removed since, and former texts of comments, are shown only to staff and above, with the scope `audit:read`. The answer is 404 for a time before the ticket was opened or while it was deleted, and for a version that does not exist. With `fields` the answer lacks fields that the schema requires.

    Scope: `tickets:read`.

    Roles: all who may see the ticket; guests see no internal comments.
    """
    return Call(
        method="GET",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}",
        query={"as_of": as_of, "version": version, "fields": fields, "include": include},
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=TicketDetail,
    )


def update_ticket(
    ticket_id: str, body: TicketChanges, *, idempotency_key: str | None = None, if_match: str | None = None
) -> Call[TicketSummary]:
    """Change a ticket.

    Absent fields stay as they are; `null` clears `assigned_to` and `unit_id`. `tags` replaces all tags; `external_ids` changes the given sources only, and `null` removes the id of one. Every status may follow every other. A request that changes nothing is answered with 200 and creates no new version.

    Scope: `tickets:write`.

    Roles: staff and above; to move a ticket to another property, manager and above; guests may only close and reopen.
    """
    return Call(
        method="PATCH",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}",
        body=body,
        headers={
            name: value
            for name, value in {"Idempotency-Key": idempotency_key, "If-Match": if_match}.items()
            if value is not None
        },
        answer=TicketSummary,
    )


def delete_ticket(ticket_id: str, *, if_match: str | None = None) -> Call[None]:
    """Delete a ticket.

    No list shows the ticket any more. Its history stays, and an admin can restore it.

    Scope: `tickets:write`.

    Roles: manager and above.
    """
    return Call(
        method="DELETE",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}",
        headers={name: value for name, value in {"If-Match": if_match}.items() if value is not None},
        answer=None,
    )


def restore_ticket(ticket_id: str, *, idempotency_key: str | None = None) -> Call[TicketSummary]:
    """Restore a deleted ticket.

    A ticket that is not deleted stays as it is. A body is ignored.

    Scope: `tickets:write`.

    Roles: admin.
    """
    return Call(
        method="POST",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/restore",
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=TicketSummary,
    )


def put_ticket_by_external_id(source: str, id: str, body: TicketValues) -> Call[TicketSummary]:
    """Create or change a ticket by its external id.

    Changes the ticket with this id of the source (200), or opens one that has it (201). The same request may be sent again: it changes nothing then. Absent fields stay as they are; a new ticket needs `title` and `property_id`, and its other fields have the defaults of POST. `id` may contain any characters, each percent-encoded. The answer is 409 if the ticket is deleted or outside of your reach.

    Scope: `tickets:write`.

    Roles: staff and above, for properties within reach; to name a requester or to move a ticket to another property, manager and above.
    """
    return Call(
        method="PUT",
        path=f"/v1/tickets/by-external-id/{quote(source, safe='')}/{quote(id, safe='')}",
        body=body,
        answer=TicketSummary,
    )


def list_ticket_history(
    ticket_id: str,
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    order: Literal["asc", "desc"] | None = None,
) -> Call[list[HistoryEntry]]:
    """Read the history of a ticket.

    One entry for each event, by version, read from the log: who caused it, with which key, in which request, and what it changed. Before the opening every field counts as null, so all changes, applied in order, result in the ticket. An added comment or file has a separate name, `comments.ID` or `attachments.ID`. The scope `audit:read` is required for the history of a deleted ticket, and for the texts of edited and removed comments and the names of removed files; without it they are null. An imported event has `imported`: who imported it, when, and from which other system; its time and actor are those of the other system.

    Scope: `audit:read` or `tickets:read`.

    Roles: staff and above, for tickets of their properties.
    """
    return Call(
        method="GET",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/history",
        query={"page": page, "per_page": per_page, "cursor": cursor, "order": order},
        answer=list[HistoryEntry],
    )


def list_ticket_comments(
    ticket_id: str, *, page: int | None = None, per_page: int | None = None, cursor: str | None = None
) -> Call[list[CommentView]]:
    """List the comments of a ticket, oldest first.

    For a list of any length start with an empty `cursor=` and follow `links.next`.

    Scope: `tickets:read`.

    Roles: all who may see the ticket; guests see no internal comments.
    """
    return Call(
        method="GET",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/comments",
        query={"page": page, "per_page": per_page, "cursor": cursor},
        answer=list[CommentView],
    )


def create_ticket_comment(
    ticket_id: str, body: NewComment, *, idempotency_key: str | None = None
) -> Call[CommentView]:
    """Comment on a ticket.

    Scope: `tickets:write`.

    Roles: all who may see the ticket; internal comments: staff and above.
    """
    return Call(
        method="POST",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/comments",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=CommentView,
    )


def update_ticket_comment(
    ticket_id: str,
    comment_id: str,
    body: CommentChanges,
    *,
    idempotency_key: str | None = None,
    if_match: str | None = None,
) -> Call[CommentView]:
    """Edit a comment.

    Replaces the text. The former text stays in the history, for auditors. The version in `If-Match` and `ETag` is that of the ticket.

    Scope: `tickets:write`.

    Roles: the author within an hour of writing it; manager and above at any time.
    """
    return Call(
        method="PATCH",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/comments/{quote(comment_id, safe='')}",
        body=body,
        headers={
            name: value
            for name, value in {"Idempotency-Key": idempotency_key, "If-Match": if_match}.items()
            if value is not None
        },
        answer=CommentView,
    )


def delete_ticket_comment(ticket_id: str, comment_id: str, *, if_match: str | None = None) -> Call[None]:
    """Remove a comment.

    Only auditors can read the comment afterwards, in the history. The version in `If-Match` is that of the ticket.

    Scope: `tickets:write`.

    Roles: the author within an hour of writing it; manager and above at any time.
    """
    return Call(
        method="DELETE",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/comments/{quote(comment_id, safe='')}",
        headers={name: value for name, value in {"If-Match": if_match}.items() if value is not None},
        answer=None,
    )


def list_ticket_attachments(ticket_id: str) -> Call[list[AttachmentView]]:
    """List the files of a ticket, oldest first.

    Returns all files: a ticket has at most 20.

    Scope: `tickets:read`.

    Roles: all who may see the ticket.
    """
    return Call(
        method="GET", path=f"/v1/tickets/{quote(ticket_id, safe='')}/attachments", answer=list[AttachmentView]
    )


def upload_ticket_attachment(
    ticket_id: str, file: Upload, *, idempotency_key: str | None = None
) -> Call[AttachmentView]:
    """Attach a file to a ticket.

    Send a form with one part named `file`, at most 25 MB. A ticket has at most 20 files.

    Scope: `tickets:write`.

    Roles: all who may see the ticket.
    """
    return Call(
        method="POST",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/attachments",
        files={"file": file},
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=AttachmentView,
    )


def delete_ticket_attachment(
    ticket_id: str, attachment_id: str, *, if_match: str | None = None
) -> Call[None]:
    """Remove a file from a ticket.

    Deletes the content. The name and the SHA-256 stay in the history, for auditors. The version in `If-Match` is that of the ticket.

    Scope: `tickets:write`.

    Roles: who attached it, within an hour; manager and above at any time.
    """
    return Call(
        method="DELETE",
        path=f"/v1/tickets/{quote(ticket_id, safe='')}/attachments/{quote(attachment_id, safe='')}",
        headers={name: value for name, value in {"If-Match": if_match}.items() if value is not None},
        answer=None,
    )


def download_attachment(
    attachment_id: str, expires: str, signature: str, *, if_none_match: str | None = None
) -> Call[bytes]:
    """Download a file by its signed address.

    The address is part of the ticket and is valid for 15 to 30 minutes. No key is needed. The answer asks browsers to save the file, not to show it.

    No key needed.
    """
    return Call(
        method="GET",
        path=f"/v1/attachments/{quote(attachment_id, safe='')}",
        query={"expires": expires, "signature": signature},
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=bytes,
    )


def import_objects(body: NewImport, *, idempotency_key: str | None = None) -> Call[ImportReport]:
    """Import objects of another system.

    Creates up to 1,000 properties, units, people and tickets with their original times and authors. An object that exists already, by its external id, is not changed, so an import may be sent again. A refused item does not affect the others. Items are imported in order, so what an item names comes before it. Webhooks get no messages, unless `webhooks` is true. Use `ticketing import` for a file of any length.

    Scope: `tickets:write`.

    Roles: admin without restriction to properties.
    """
    return Call(
        method="POST",
        path="/v1/imports",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=ImportReport,
    )


def list_users(
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    role: list[Literal["admin", "guest", "manager", "staff"]] | None = None,
    property_id: list[str] | None = None,
    active: bool | None = None,
    external_id: list[str] | None = None,
    q: str | None = None,
) -> Call[list[UserSummary]]:
    """List users.

    Filters with a list take several values, separated by commas or in repeated parameters. `q` finds people by the beginnings of the words of their names and addresses, without regard to case and accents; only managers and above may use it. `active=false` finds deactivated people.

    Scope: `users:read`.

    Roles: staff and above, for the people of their properties and themselves.
    """
    return Call(
        method="GET",
        path="/v1/users",
        query={
            "page": page,
            "per_page": per_page,
            "cursor": cursor,
            "role": role,
            "property_id": property_id,
            "active": active,
            "external_id": external_id,
            "q": q,
        },
        answer=list[UserSummary],
    )


def create_user(body: NewUser, *, idempotency_key: str | None = None) -> Call[UserDetail]:
    """Register a user.

    The e-mail address must be unique, without regard to case. So must the id of each source in `external_ids`. `external_ids` are not encrypted in the log: use ids that name nobody. `preferences.notifications` is only stored: this system sends no e-mail or text messages.

    Scope: `users:write`.

    Roles: manager and above, for people whose role and properties do not exceed the caller's.
    """
    return Call(
        method="POST",
        path="/v1/users",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=UserDetail,
    )


def get_current_user(*, if_none_match: str | None = None) -> Call[UserDetail]:
    """Read the user of the key.

    Returns the person for whom the key or token acts, with phone and preferences. A key that belongs to no person gets 404.

    Scope: `users:read`.

    Roles: all.
    """
    return Call(
        method="GET",
        path="/v1/users/me",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=UserDetail,
    )


def get_user(user_id: str, *, if_none_match: str | None = None) -> Call[UserDetail]:
    """Read a user.

    `phone` and `preferences` are null if staff read another person.

    Scope: `users:read`.

    Roles: all, for themselves; staff and above, for the people of their properties.
    """
    return Call(
        method="GET",
        path=f"/v1/users/{quote(user_id, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=UserDetail,
    )


def update_user(
    user_id: str, body: UserChanges, *, idempotency_key: str | None = None, if_match: str | None = None
) -> Call[UserDetail]:
    """Change a user.

    Absent fields stay as they are; `null` clears the phone. `property_ids` and `preferences` are replaced as a whole. `preferences.notifications` is only stored: this system sends no e-mail or text messages. `active: false` deactivates a person who leaves: they cannot sign in, their keys and tokens are refused with 401, and no ticket can be assigned to them; their name stays. `active: true` reverses that. Nobody can deactivate themselves (403) or the last active admin (409). A taken e-mail address or external id is 409 too. `external_ids` changes the given sources only. `external_ids` are not encrypted in the log: use ids that name nobody.

    Scope: `users:write`.

    Roles: manager and above, for people whose role and properties, before and after the change, do not exceed the caller's.
    """
    return Call(
        method="PATCH",
        path=f"/v1/users/{quote(user_id, safe='')}",
        body=body,
        headers={
            name: value
            for name, value in {"Idempotency-Key": idempotency_key, "If-Match": if_match}.items()
            if value is not None
        },
        answer=UserDetail,
    )


def create_one_time_link(user_id: str, *, idempotency_key: str | None = None) -> Call[OneTimeLink]:
    """Make a one-time link for a user.

    Returns the address of a page on which the person sets a password. It is valid for 24 hours and for one use, and is not shown again. A new link makes the earlier one invalid; so does a new password, role or list of properties, and a deactivation. The key needs every scope, because the person can use all of them after signing in. A body is ignored.

    Scope: `users:write`.

    Roles: manager and above, for other people whose role and properties do not exceed the caller's.
    """
    return Call(
        method="POST",
        path=f"/v1/users/{quote(user_id, safe='')}/one-time-link",
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=OneTimeLink,
    )


def erase_user(user_id: str, *, idempotency_key: str | None = None) -> Call[UserDetail]:
    """Erase a user.

    Destroys the key that encrypts the name, e-mail address and phone in the log, in every backup and in Kafka; deletes other copies of them; revokes the person's keys and ends their sessions. Their actions and assignments stay under their id. This cannot be undone. It changes nothing if the user is erased already. A body is ignored.

    Scope: `users:write`.

    Roles: admin, for people whose role and properties do not exceed the caller's.
    """
    return Call(
        method="POST",
        path=f"/v1/users/{quote(user_id, safe='')}/erase",
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=UserDetail,
    )


def list_properties(
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    external_id: list[str] | None = None,
) -> Call[list[PropertySummary]]:
    """List properties.

    `active_tickets_count` counts the tickets that are open or in progress.

    Scope: `properties:read`.

    Roles: all, for properties within their reach.
    """
    return Call(
        method="GET",
        path="/v1/properties",
        query={"page": page, "per_page": per_page, "cursor": cursor, "external_id": external_id},
        answer=list[PropertySummary],
    )


def create_property(body: NewProperty, *, idempotency_key: str | None = None) -> Call[PropertyDetail]:
    """Register a property.

    Scope: `properties:write`.

    Roles: admin, with a key that is not restricted to properties.
    """
    return Call(
        method="POST",
        path="/v1/properties",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=PropertyDetail,
    )


def get_property(property_id: str, *, if_none_match: str | None = None) -> Call[PropertyDetail]:
    """Read a property with its units.

    `units` contains at most the first 1,000 units by name. The list of units contains all.

    Scope: `properties:read`.

    Roles: all, for properties within their reach.
    """
    return Call(
        method="GET",
        path=f"/v1/properties/{quote(property_id, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=PropertyDetail,
    )


def update_property(
    property_id: str,
    body: PropertyChanges,
    *,
    idempotency_key: str | None = None,
    if_match: str | None = None,
) -> Call[PropertyDetail]:
    """Rename a property or correct its address.

    Absent fields stay as they are. The address is replaced as a whole. `external_ids` changes the given sources only; `null` removes the id of one. An id that another property has is refused with 409.

    Scope: `properties:write`.

    Roles: manager and above.
    """
    return Call(
        method="PATCH",
        path=f"/v1/properties/{quote(property_id, safe='')}",
        body=body,
        headers={
            name: value
            for name, value in {"Idempotency-Key": idempotency_key, "If-Match": if_match}.items()
            if value is not None
        },
        answer=PropertyDetail,
    )


def list_property_units(
    property_id: str,
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    external_id: list[str] | None = None,
) -> Call[list[UnitView]]:
    """List the units of a property, by name.

    Scope: `properties:read`.

    Roles: all, for properties within their reach.
    """
    return Call(
        method="GET",
        path=f"/v1/properties/{quote(property_id, safe='')}/units",
        query={"page": page, "per_page": per_page, "cursor": cursor, "external_id": external_id},
        answer=list[UnitView],
    )


def create_property_unit(
    property_id: str, body: NewUnit, *, idempotency_key: str | None = None
) -> Call[UnitView]:
    """Add a unit to a property.

    Scope: `properties:write`.

    Roles: manager and above.
    """
    return Call(
        method="POST",
        path=f"/v1/properties/{quote(property_id, safe='')}/units",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=UnitView,
    )


def update_property_unit(
    property_id: str, unit_id: str, body: UnitChanges, *, idempotency_key: str | None = None
) -> Call[UnitView]:
    """Change the external ids of a unit.

    Changes the given sources only; `null` removes the id of one. An id that another unit has is refused with 409.

    Scope: `properties:write`.

    Roles: manager and above.
    """
    return Call(
        method="PATCH",
        path=f"/v1/properties/{quote(property_id, safe='')}/units/{quote(unit_id, safe='')}",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=UnitView,
    )


def get_changes(
    *,
    after: str | None = None,
    limit: int | None = None,
    wait: int | None = None,
    of: list[Literal["properties", "tickets", "users"]] | None = None,
    full: bool | None = None,
) -> Call[ChangesAnswer]:
    """Follow all changes, to keep a copy.

    Everything that enters, changes within or leaves what the caller may see, in the order of the log and without
    gaps. An integration keeps an exact copy with it; `updated_after` of GET /v1/tickets is only a filter, and
    misses changes. Send the first request without `after`: it begins with all present objects. Send each further
    one with `after` set to the `position` of the previous answer, as it is: a position of the log, at times with
    further numbers after a full stop. A position belongs to one key and one value of `of`.

    Each object is returned in its newest state, at the position of its last event; one answer has it at most
    once. `kind` is `upsert`, or `gone` when the object was deleted or has left the caller's reach.
    `reach_changed` says that the caller's own role or properties have changed: remove the tickets of the
    properties in `lost`, these properties, and the people who belong to no other one. The objects of the
    properties in `gained` follow, at the position that was sent. A guest gains no property: the guest's own
    tickets follow.

    A ticket shows the names of its property, unit and people as they were when it was read; a new name is a
    change of the property or the person, not of the ticket. Follow them with `of`.

    With `wait` the server answers as soon as there is a change, or without items after this number of seconds, at
    most 25. The guide is docs/how-to/copies.md.


    Scope: `tickets:read`.

    Roles: all; each caller gets what they may see.
    """
    return Call(
        method="GET",
        path="/v1/changes",
        query={"after": after, "limit": limit, "wait": wait, "of": of, "full": full},
        answer=ChangesAnswer,
    )


def get_events(
    *, after: int | None = None, limit: int | None = None, wait: int | None = None
) -> Call[EventFeed]:
    """Read or follow all events.

    All events, in the order of the log. No event appears later at a position below one that was returned. Events
    are CloudEvents 1.0 in JSON format, the same as the records in Kafka; `dataschema` is the address of the JSON
    Schema of `data`. Send the first request without `after`, and each further one with `after` set to the
    `position` of the previous answer.

    With `wait` the server answers as soon as there is an event, or without events after this number of seconds,
    at most 25. If too many requests are waiting, it answers immediately. An answer has at most
    about 4 MB. Names, e-mail addresses and phone numbers in `data` are encrypted.


    Scope: `audit:read`.

    Roles: admin, with a key that is not restricted to properties.
    """
    return Call(
        method="GET",
        path="/v1/events",
        query={"after": after, "limit": limit, "wait": wait},
        answer=EventFeed,
    )


def list_event_types() -> Call[list[EventType]]:
    """List the types of events.

    `schema` is the address of the JSON Schema of the event's data, as in `dataschema`. `/v1/asyncapi.json` describes the Kafka topic to which the events are published.

    No key needed.
    """
    return Call(method="GET", path="/v1/event-types", answer=list[EventType])


def get_event_type_schema(name: str, *, if_none_match: str | None = None) -> Call[bytes]:
    """Read the JSON Schema of a type of events.

    For example `ticket.opened.v1`. The schema may later get further optional fields and values of enumerations. Ignore fields and values that you do not know.

    No key needed.
    """
    return Call(
        method="GET",
        path=f"/v1/event-types/{quote(name, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=bytes,
    )


def list_webhook_events() -> Call[list[WebhookEvent]]:
    """List the events of webhooks.

    `schema` is the address of the JSON Schema of the body that is posted.

    No key needed.
    """
    return Call(method="GET", path="/v1/webhook-events", answer=list[WebhookEvent])


def get_webhook_event_schema(name: str, *, if_none_match: str | None = None) -> Call[bytes]:
    """Read the JSON Schema of the body of a webhook event.

    For example `ticket.created.v1`. The schema may later get further fields. Ignore fields that you do not know.

    No key needed.
    """
    return Call(
        method="GET",
        path=f"/v1/webhook-events/{quote(name, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=bytes,
    )


def list_webhooks(
    *, page: int | None = None, per_page: int | None = None, cursor: str | None = None
) -> Call[list[WebhookView]]:
    """List webhooks.

    Scope: `webhooks:read`.

    Roles: admin, for all; manager, for those that they registered. A key that may read less than its user lists only those that it registered itself.
    """
    return Call(
        method="GET",
        path="/v1/webhooks",
        query={"page": page, "per_page": per_page, "cursor": cursor},
        answer=list[WebhookView],
    )


def create_webhook(body: NewWebhook, *, idempotency_key: str | None = None) -> Call[RegisteredWebhook]:
    """Register a webhook.

    Posts are signed as Standard Webhooks describes. They contain only what the owner may read at the time of delivery. Nothing is sent without the scope `tickets:read`, after the API key was revoked or has expired, after the application was revoked or its consent was withdrawn, or while the person is deactivated. `ticket.*` means every event of a ticket. With `payload_version` 2 there is one post for each request and event name, with all changes of the request. `filter` limits the changes that are sent, and a thin `payload` has ids and names of fields only. The limits hold for all posts to the webhook together. The values of `headers` are never shown again.

    Scope: `webhooks:write`.

    Roles: manager and above.
    """
    return Call(
        method="POST",
        path="/v1/webhooks",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=RegisteredWebhook,
    )


def get_webhook(webhook_id: str, *, if_none_match: str | None = None) -> Call[WebhookView]:
    """Read a webhook and its state.

    Scope: `webhooks:read`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="GET",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=WebhookView,
    )


def update_webhook(
    webhook_id: str, body: WebhookChanges, *, idempotency_key: str | None = None, if_match: str | None = None
) -> Call[WebhookView]:
    """Change a webhook's address, events or settings, or disable and enable it.

    After a change, pending deliveries are attempted immediately. A webhook is disabled when its receiver answers 410 or fails for five days. `enabled: true` enables it again.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="PATCH",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}",
        body=body,
        headers={
            name: value
            for name, value in {"Idempotency-Key": idempotency_key, "If-Match": if_match}.items()
            if value is not None
        },
        answer=WebhookView,
    )


def delete_webhook(webhook_id: str, *, if_match: str | None = None) -> Call[None]:
    """Delete a webhook.

    Nothing more is sent, including pending deliveries.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="DELETE",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}",
        headers={name: value for name, value in {"If-Match": if_match}.items() if value is not None},
        answer=None,
    )


def rotate_webhook_secret(
    webhook_id: str, body: NewSecret, *, idempotency_key: str | None = None
) -> Call[RegisteredWebhook]:
    """Rotate the secret.

    For 24 hours posts have two signatures, one with the new and one with the old secret, so a receiver can verify them with either.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="POST",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/rotate",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=RegisteredWebhook,
    )


def test_webhook(webhook_id: str, *, idempotency_key: str | None = None) -> Call[DeliveryView]:
    """Send a test.

    Sends a signed `webhook.test`. The list of deliveries shows the result. A body is ignored.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="POST",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/test",
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=DeliveryView,
    )


def list_webhook_deliveries(
    webhook_id: str,
    *,
    page: int | None = None,
    per_page: int | None = None,
    cursor: str | None = None,
    status: list[Literal["dead", "delivered", "pending", "withheld"]] | None = None,
    event: list[
        Literal[
            "ticket.assigned",
            "ticket.commented",
            "ticket.created",
            "ticket.deleted",
            "ticket.resolved",
            "ticket.restored",
            "ticket.updated",
            "webhook.disabled",
            "webhook.failing",
            "webhook.test",
        ]
    ]
    | None = None,
) -> Call[list[DeliveryView]]:
    """List the deliveries of a webhook, newest first.

    Each delivery contains its request and its last 50 attempts, with the status, the first 2 kB of the answer, and the duration. A filter takes several values, separated by commas or in repeated parameters.

    Scope: `webhooks:read`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="GET",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries",
        query={"page": page, "per_page": per_page, "cursor": cursor, "status": status, "event": event},
        answer=list[DeliveryView],
    )


def get_webhook_delivery(
    webhook_id: str, delivery_id: str, *, if_none_match: str | None = None
) -> Call[DeliveryView]:
    """Read a delivery with its attempts.

    Scope: `webhooks:read`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="GET",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries/{quote(delivery_id, safe='')}",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=DeliveryView,
    )


def redeliver_webhook_delivery(
    webhook_id: str, delivery_id: str, *, idempotency_key: str | None = None
) -> Call[DeliveryView]:
    """Send a delivery again.

    Sends the same message with the same `webhook-id`. The schedule of retries starts again. A body is ignored.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="POST",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries/{quote(delivery_id, safe='')}/redeliver",
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=DeliveryView,
    )


def recover_webhook(webhook_id: str, body: Since, *, idempotency_key: str | None = None) -> Call[Recovered]:
    """Send dead deliveries again.

    Sends the dead deliveries that were created since the given time.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="POST",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/recover",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=Recovered,
    )


def replay_webhook(webhook_id: str, body: Since, *, idempotency_key: str | None = None) -> Call[Replayed]:
    """Send the events that have no delivery.

    Sends every event since the given time that the webhook subscribes to, that its owner may read and that has no delivery, including events from before the webhook was registered. Finished deliveries are deleted after 90 days, unless the operator has set another time; events before the last deleted delivery are not sent again. If `complete` is false, send the next request with `since` set to `continue_from`.

    Scope: `webhooks:write`.

    Roles: manager and above, for webhooks that they manage.
    """
    return Call(
        method="POST",
        path=f"/v1/webhooks/{quote(webhook_id, safe='')}/replay",
        body=body,
        headers={
            name: value for name, value in {"Idempotency-Key": idempotency_key}.items() if value is not None
        },
        answer=Replayed,
    )


def list_audit_events(
    *,
    per_page: int | None = None,
    cursor: str | None = None,
    actor: list[str] | None = None,
    property_id: list[str] | None = None,
    action: list[str] | None = None,
    ticket_id: list[str] | None = None,
    request_id: list[str] | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    order: Literal["asc", "desc"] | None = None,
) -> Call[list[AuditEntry]]:
    """Search the audit trail.

    Lists the matching events in the order of the log, newest first unless `order=asc`. `from` is included, `to` is not. The other filters take several values, separated by commas or in repeated parameters. Follow `links.next`; there are no totals. `facts` contains the data of the event. Reads of the audit trail are recorded as `audit.read`, and refused writes as `access.denied`. Equal requests within a minute are recorded as one event, whose field `times` counts them.

    Scope: `audit:read`.

    Roles: admin; managers, for events of their properties.
    """
    return Call(
        method="GET",
        path="/v1/audit/events",
        query={
            "per_page": per_page,
            "cursor": cursor,
            "actor": actor,
            "property_id": property_id,
            "action": action,
            "ticket_id": ticket_id,
            "request_id": request_id,
            "from": from_,
            "to": to,
            "order": order,
        },
        answer=list[AuditEntry],
    )


def get_audit_export(
    *,
    from_: str | None = None,
    to: str | None = None,
    format: Literal["csv", "ndjson"] | None = None,
    after: int | None = None,
) -> Call[bytes]:
    """Export the event log.

    Returns events as they are stored, in the order of the log. Names, e-mail addresses and phone numbers are
    encrypted.

    `from` and `to` are each a position of the log or a time. Both positions are included. A time is compared with
    `occurred_at`: `from` is included and `to` is not, so `to` of one day is `from` of the next, and every event
    is in exactly one of the two exports. Without `to` the export ends at the last signed position. If `to` is
    later than that, the log is signed first. `X-Export-From` and `X-Export-To` contain the positions of the first
    and the last event.

    The same request returns the same bytes each time, with one exception: an export by times can get longer,
    because an event that occurred before `to` can be stored later. To continue an interrupted transfer, repeat
    the request with `after` set to the position in the last complete line. The manifest, which proves the file,
    is at /v1/audit/export/manifest with the same parameters, without `after`. tools/verify_export.py checks both
    files.


    Scope: `audit:read`.

    Roles: admin, with a key that is not restricted to properties.
    """
    return Call(
        method="GET",
        path="/v1/audit/export",
        query={"from": from_, "to": to, "format": format, "after": after},
        answer=bytes,
    )


def get_audit_export_manifest(
    *, from_: str | None = None, to: str | None = None, format: Literal["csv", "ndjson"] | None = None
) -> Call[dict[str, Any]]:
    """The signed manifest of an export.

    Reads and hashes the whole range, so it takes as long as the export. For a range by positions, the hashes prove that nothing is missing. For a range by times, they prove each event in the file; the signature states that all other events occurred at other times.

    Scope: `audit:read`.

    Roles: admin, with a key that is not restricted to properties.
    """
    return Call(
        method="GET",
        path="/v1/audit/export/manifest",
        query={"from": from_, "to": to, "format": format},
        has_envelope=False,
        answer=dict[str, Any],
    )


def get_audit_event_proof(event_id: str, *, if_none_match: str | None = None) -> Call[EventProof]:
    """Prove that an event is in the signed log.

    Returns the hash of the event, the hashes on the path to the root of its block, and the chain from there to a checkpoint that the notary has signed. A new event is signed within minutes; until then the answer is 404 or 409.

    Scope: `audit:read`.

    Roles: admin, with a key that is not restricted to properties.
    """
    return Call(
        method="GET",
        path=f"/v1/audit/events/{quote(event_id, safe='')}/proof",
        headers={
            name: value for name, value in {"If-None-Match": if_none_match}.items() if value is not None
        },
        answer=EventProof,
    )


def get_health_live() -> Call[Liveness]:
    """Whether the process is running.

    No key needed.
    """
    return Call(method="GET", path="/health/live", answer=Liveness)


def get_health_ready() -> Call[Readiness]:
    """Whether requests can be served.

    If they cannot, the answer is 503, and `details` states the reason.

    No key needed.
    """
    return Call(method="GET", path="/health/ready", answer=Readiness)


def get_metrics() -> Call[bytes]:
    """The metrics in the text format of Prometheus.

    Roles: admin.
    """
    return Call(method="GET", path="/metrics", answer=bytes)
