"""Filters of webhooks: which changes of tickets a webhook receives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from domain.access import ROLES
from domain.changes import CHANGE_NAMES
from domain.errors import Details
from domain.ticket import PRIORITIES

MOST_VALUES = 100

Value = Annotated[str, Meta(min_length=1, max_length=255)]
Facts = Mapping[str, Collection[str]]  # the values of a change for each field of WebhookFilter
# The fields whose values are known. Stored filters may have others, so their types do not say this.
_POSSIBLE: Mapping[str, Collection[str]] = {
    "priority": PRIORITIES,
    "changed_field": CHANGE_NAMES,
    "actor_role": ROLES,
}


class WebhookCondition(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """With `in`, a change needs one of these values. With `not`, it may have none of those."""

    one_of: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=MOST_VALUES)] | None = msgspec.field(
        name="in", default=None
    )
    none_of: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=MOST_VALUES)] | None = msgspec.field(
        name="not", default=None
    )

    def accepts(self, values: Collection[str]) -> bool:
        if self.one_of is not None and not any(value in self.one_of for value in values):
            return False
        return self.none_of is None or not any(value in self.none_of for value in values)


class WebhookFilter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Conditions on a change, all of which must hold. Property, category, tags and priority are those of
    the ticket after the change. `changed_field` has the names in `changes`; those of comments and files are
    `comments` and `attachments`. `actor_role` is the role of who made the change."""

    property_id: WebhookCondition | None = None
    category: WebhookCondition | None = None
    tag: WebhookCondition | None = None
    priority: WebhookCondition | None = None
    changed_field: WebhookCondition | None = None
    actor_role: WebhookCondition | None = None

    def accepts(self, facts: Facts) -> bool:
        """Whether the change with these facts is sent."""
        for name in self.__struct_fields__:
            condition: WebhookCondition | None = getattr(self, name)
            if condition is not None and not condition.accepts(facts[name]):
                return False
        return True


NO_FILTER = WebhookFilter()


def filter_problems(given: WebhookFilter) -> Details:
    """The conditions with values that no change can have, by their names in a body."""
    details: Details = {}
    for name, possible in _POSSIBLE.items():
        condition: WebhookCondition | None = getattr(given, name)
        if condition is None:
            continue
        for part, values in (("in", condition.one_of), ("not", condition.none_of)):
            if not set(values or ()) <= set(possible):
                path = f"filter.{name}.{part}"
                details[path] = [f"The {path} field must be one of: {', '.join(possible)}."]
    return details
