"""Descriptions of the scopes, for the API reference and for pages that ask people to allow them."""

from __future__ import annotations

from domain.access import Scope

SCOPE_LABELS: dict[Scope, str] = {
    "tickets:read": "Read tickets, with their comments and files",
    "tickets:write": "Open, change and close tickets, and comment on them",
    "users:read": "Read names, roles and e-mail addresses of people",
    "users:write": "Register people and change their details",
    "properties:read": "Read properties and their units",
    "properties:write": "Register properties and units, and change them",
    "webhooks:read": "See where events are sent",
    "webhooks:write": "Decide where events are sent",
    "audit:read": "Read the history of changes, and who made them",
}


def scope_labels(scopes: list[str] | tuple[str, ...]) -> list[str]:
    """The descriptions of the scopes, in the order of SCOPE_LABELS."""
    return [label for scope, label in SCOPE_LABELS.items() if scope in scopes]
