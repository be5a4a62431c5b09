"""Reads values of a form that were chosen from a list, or typed because the list would be too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import falcon

from commands.email_addresses import hash_address
from domain.access import Caller
from domain.errors import Details, Invalid
from domain.text import is_id
from infrastructure.storage.postgres import Pool
from pages.panel.page import PanelPage
from projections.choices import Choices, find_person, find_properties, find_unit


def chosen_property(page: PanelPage, req: falcon.Request, details: Details) -> str | None:
    """The id of the property in the form; None, with a message in `details`, if there is none."""
    text = req.context.form.text("property_id")
    found = find_properties(page.services.pool, req.context.caller, [text]).get(text)
    if found is None:
        details["property_id"] = [_not_one_message("property", text) if text else "Choose a property."]
    return found


def chosen_properties(
    page: PanelPage, req: falcon.Request, texts: Sequence[str], details: Details
) -> list[str]:
    """The ids of the properties that were ticked, or typed one per line. Adds unknown ones to `details`."""
    found = find_properties(page.services.pool, req.context.caller, texts)
    if unknown := [text for text in texts if text not in found]:
        details["property_ids"] = [_not_one_message("property", text) for text in unknown]
    return list(dict.fromkeys(found[text] for text in texts if text in found))


def resolve_property(pool: Pool, caller: Caller, text: str | None) -> tuple[str, ...]:
    """The id of the property with this id or name, for a filter; empty without a text.

    An id that does not exist matches nothing. Raises Invalid for another text.
    """
    if not text:
        return ()
    found = find_properties(pool, caller, [text]).get(text, text)
    if not is_id(found):
        raise Invalid({"property_id": [_not_one_message("property", text)]})
    return (found,)


def chosen_unit(page: PanelPage, property_id: str, text: str, details: Details) -> str | None:
    """The id of the unit of that property; None for no unit, or with a message in `details`."""
    found = find_unit(page.services.pool, property_id, text) if text else None
    if text and found is None:
        details["unit_id"] = [_not_one_message("unit", text)]
    return found


def chosen_person(page: PanelPage, text: str) -> str:
    """The id of the person with this id or e-mail address; the text itself if nobody has it."""
    if not text:
        return ""
    services = page.services
    return find_person(services.pool, text, hash_address(services.store, text)) or text


def as_chosen(choices: Choices, property_ids: Sequence[str], lines: Mapping[str, str]) -> list[str]:
    """The values of the form's field: ids to tick, or the lines of text for a list that is too long."""
    return [lines.get(place, place) if choices.is_cut else place for place in property_ids]


def _not_one_message(what: str, text: str) -> str:
    return f"No {what}, or more than one, has the name {text[:100]}. Use the id instead."
