"""Commands that set up tests, with plain arguments and valid defaults."""

from commands import properties, tickets, users, webhooks
from commands.values import ValidValues
from tests.support.vault import VAULT

ADDRESS = properties.AddressBody(
    street="123 Ocean Drive", city="Beachtown", state="CA", zip="90210", country="USA"
)


def register_property(store, property_id, context, *, name="Seaside"):
    values = ValidValues(properties.NewProperty(name=name, address=ADDRESS))
    return properties.register_property(store, values, context, property_id=property_id)


def change_property(store, property_id, context, expected_versions=None, **changes):
    values = ValidValues(properties.PropertyChanges(**changes))
    return properties.change_property(store, property_id, values, context, expected_versions)


def add_unit(store, property_id, unit_id, context, *, name="Unit 101"):
    values = ValidValues(properties.NewUnit(name=name))
    return properties.add_unit(store, property_id, values, context, unit_id=unit_id)


def register_user(store, user_id, context, *, name="Jane", email=None, role="staff", **others):
    """Register a person; without `email` with an address of their own."""
    email = email or f"{user_id}@example.com"
    values = ValidValues(users.NewUser(name=name, email=email, role=role, **others))
    return users.register_user(store, values, context, user_id=user_id)


def change_user(store, user_id, context, expected_versions=None, **changes):
    values = ValidValues(users.UserChanges(**changes))
    return users.change_user(store, user_id, values, context, expected_versions)


def change_ticket(store, ticket_id, context, expected_versions=None, **changes):
    values = ValidValues(tickets.TicketEdit(**changes))
    return tickets.change_ticket(store, ticket_id, values, context, expected_versions)


def comment_on_ticket(store, ticket_id, context, *, text="On my way.", visibility="public"):
    values = ValidValues(tickets.NewComment(text=text, visibility=visibility))
    return tickets.comment_on_ticket(store, ticket_id, values, context)


def change_webhook(store, webhook_id, context, expected_versions=None, **changes):
    values = ValidValues(webhooks.WebhookChanges(**changes))
    return webhooks.change_webhook(
        store, webhook_id, values, context, expected_versions, vault=VAULT, allow_private=True
    )


def rotate_webhook_secret(store, webhook_id, context, *, secret=None):
    values = ValidValues(webhooks.NewSecret(secret=secret))
    return webhooks.rotate_webhook_secret(store, webhook_id, values, context, vault=VAULT)
