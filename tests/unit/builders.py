"""Callers and contexts for tests of the domain and the commands."""

from datetime import UTC, datetime
from itertools import count

from domain.access import Caller, Context
from domain.property import Address

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OCEAN_DRIVE = Address(street="123 Ocean Drive", city="Beachtown", state="CA", zip="90210", country="USA")
TICKET_FIELDS = {
    "title": "Leak",
    "description": "",
    "priority": "high",
    "category": "plumbing",
    "property_id": "p1",
    "unit_id": None,
    "requester_id": "u1",
}
_numbers = count(1)


def caller(role="admin", *, user_id="u-caller", reach=None):
    property_ids = None if reach is None else frozenset(reach)
    return Caller(
        principal_id=user_id,
        name="Casey",
        role=role,
        auth="api_key",
        credential_id="key_1",
        user_id=user_id,
        property_ids=property_ids,
    )


def context(by=None, *, at=NOON, command_id=None, is_retry=False):
    return Context(
        at=at,
        caller=by or caller(),
        request_id="r-1",
        command_id=command_id or f"command-{next(_numbers)}",
        is_retry=is_retry,
    )
