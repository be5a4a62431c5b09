"""The form of a webhook's settings: texts of fields, and the values that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import Details
from domain.webhook import Webhook
from pages.common.shown_form import Values

PARTS = ("in", "not")
NUMBERS = ("max_per_second", "max_in_flight")
SETTINGS: Values = {
    "payload_version": "2",
    "payload": "full",
    "filter": "",
    "max_per_second": "",
    "max_in_flight": "",
    "headers": "",
}


def webhook_values(webhook: Webhook) -> Values:
    """The values of the form. The headers are empty: their values are never shown."""
    return {
        "url": webhook.url,
        "events": list(webhook.event_names),
        "payload_version": str(webhook.payload_version),
        "payload": webhook.payload,
        "filter": _filter_text(webhook),
        "max_per_second": str(webhook.max_per_second or ""),
        "max_in_flight": str(webhook.max_in_flight or ""),
        "headers": "",
    }


def sent_settings(values: Mapping[str, str | list[str]]) -> tuple[dict[str, Any], Details]:
    """The fields of a command for the texts of the form, and the problems in them by field."""
    sent: dict[str, Any] = dict(values)
    details: Details = {}
    for name in {"payload_version", *NUMBERS} & sent.keys():
        text = str(sent[name])
        sent[name] = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text or None
    for name, read in (("filter", _read_filter), ("headers", _read_headers)):
        if name in sent:
            try:
                sent[name] = read(str(sent[name]))
            except ValueError as problem:
                del sent[name]
                details[name] = [str(problem)]
    return sent, details


def _filter_text(webhook: Webhook) -> str:
    """One condition on each line, such as `priority in high, critical`."""
    lines = []
    for name in webhook.filter.__struct_fields__:
        condition = getattr(webhook.filter, name)
        for part, values in zip(
            PARTS, (condition.one_of, condition.none_of) if condition else (), strict=False
        ):
            if values:
                lines.append(f"{name} {part} {', '.join(values)}")
    return "\n".join(lines)


def _read_filter(text: str) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, part, values = (*line.split(None, 2), "", "")[:3]
        if part not in PARTS or not values:
            raise ValueError(
                f"Write a field, in or not, and values, such as: priority in high. Got: {line[:80]}"
            )
        found.setdefault(name, {})[part] = [value.strip() for value in values.split(",") if value.strip()]
    return found


def _read_headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("Write each header as Name: value.")
        found[name.strip()] = value.strip()
    return found
