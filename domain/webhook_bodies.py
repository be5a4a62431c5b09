"""The largest body of a webhook post, and the texts in bodies that would be larger."""

from __future__ import annotations

# 20 kB. The 100 bytes are for names of erased persons: their placeholders may be longer than the names.
LARGEST_BODY_BYTES = 20_000 - 100
SHORT_TEXT_CHARACTERS = 200
SHORT_TEXT_BYTES = 6 * SHORT_TEXT_CHARACTERS + 2  # in JSON, where a character has at most six bytes


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, with at most that many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
