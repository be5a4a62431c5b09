"""The types of text fields, for all commands. Lengths are in characters after trimming."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from msgspec import Meta

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="An opaque id.")]
Title = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=65_535)]
CommentText = Annotated[str, Meta(min_length=1, max_length=65_535)]
Category = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=50,
        pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*\Z",
        description="A lower-case slug, such as plumbing or pest-control.",
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
# Listed one by one, because `\s` matches other characters in JSON Schema than in Python.
_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=254,
        pattern=rf"^[^@{_BLANK}]+@[^@.{_BLANK}]+(\.[^@.{_BLANK}]+)+\Z",
        description="An e-mail address.",
    ),
]
Phone = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=32,
        pattern=r"^[0-9+(). x/#*-]+\Z",
        description="Digits, spaces and the signs + ( ) . / # * - and x, such as +1 555 0100 x12.",
    ),
]
AddressLine = Annotated[str, Meta(min_length=1, max_length=255)]
WebhookUrl = Annotated[str, Meta(min_length=1, max_length=2_048, description="An https address.")]
SearchText = Annotated[str, Meta(min_length=1, max_length=200, description="Words to search for.")]


def fold_case(text: str) -> str:
    """The text for comparisons that ignore case, surrounding and repeated white space, and whether characters
    are composed (Unicode 3.13, D145)."""
    folded = unicodedata.normalize("NFD", " ".join(text.split())).casefold()
    return unicodedata.normalize("NFC", folded)
