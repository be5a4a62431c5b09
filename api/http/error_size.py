"""Limits the size of error bodies, because requests can have thousands of problems with long names."""

from __future__ import annotations

import msgspec

from domain.errors import Details

MAX_BODY_BYTES = 16_384
MORE = "..."  # the entry of the details that says how many fields were left out; no field has this name
_DETAILS_BYTES = 14_336  # as JSON; the rest is for the message and the envelope
_TEXT_BYTES = 1_024  # as JSON, of one message or name
_MESSAGES = 10  # of one field

_encode = msgspec.json.Encoder().encode


def shorten_text(text: str) -> str:
    """The text, cut to at most _TEXT_BYTES of JSON; a text that was cut ends with three dots."""
    if len(text) * 6 <= _TEXT_BYTES or _size(text) <= _TEXT_BYTES:  # no character takes more than 6 bytes
        return text
    fitting = text[:_TEXT_BYTES]
    while _size(fitting) > _TEXT_BYTES - len("..."):
        fitting = fitting[: len(fitting) * 7 // 8]
    return f"{fitting}..."


def shorten_details(details: Details) -> Details:
    """The first fields that fit into an error body, and the number of those that were left out."""
    kept: Details = {}
    size = 0
    for name, messages in details.items():
        field, shown = shorten_text(name), _shorten_messages(messages)
        size += _size({field: shown})
        if size > _DETAILS_BYTES:
            break
        kept[field] = shown
    if left_out := len(details) - len(kept):
        kept[MORE] = [f"{left_out:,} more fields have problems. Correct these first, then send it again."]
    return kept


def _shorten_messages(messages: list[str]) -> list[str]:
    shown = [shorten_text(message) for message in messages[:_MESSAGES]]
    if left_out := len(messages) - len(shown):
        shown.append(f"{left_out:,} more problems of this field.")
    return shown


def _size(value: object) -> int:
    return len(_encode(value))
