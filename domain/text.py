"""The types of text fields, for all commands. Lengths are in characters after trimming."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from msgspec import Meta

from domain.external_ids import SOURCES_PER_OBJECT

_ID = r"^[A-Za-z0-9_-]{1,64}\Z"
Id = Annotated[str, Meta(pattern=_ID, description="An id: 1 to 64 letters, digits, hyphens or underscores.")]
# White space and controls, one by one, because `\s` matches other characters in JSON Schema than in Python.
_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
# The other characters that are drawn as nothing: Default_Ignorable_Code_Point of Unicode, the marks of
# interlinear annotations, the empty Braille pattern, and fillers of scripts and of musical notation.
_UNDRAWN = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\uffa0\ufff0-\ufffb"
)
_HIDDEN = _BLANK + _UNDRAWN
_UNDRAWN_BEYOND_FFFF = r"\U00016fe4\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
VISIBLE = rf"[^{_BLANK}{_UNDRAWN}{_UNDRAWN_BEYOND_FFFF}]"  # at least one character that can be seen
# The same for JSON Schema, whose escapes end at U+FFFF, and without NUL.
VISIBLE_FOR_JSON_SCHEMA = rf"^[^\x00]*[^{_BLANK}{_UNDRAWN}][^\x00]*$"
_INVISIBLE = re.compile(rf"[\ufeff{_UNDRAWN}{_UNDRAWN_BEYOND_FFFF}]")


def _email_pattern(refused: str) -> str:
    return rf"^[^@{refused}]+@[^@.{refused}]+(\.[^@.{refused}]+)+\Z"


SLUG = r"^[a-z0-9]+([_-][a-z0-9]+)*\Z"
EMAIL = _email_pattern(_HIDDEN + _UNDRAWN_BEYOND_FFFF)
EMAIL_FOR_JSON_SCHEMA = _email_pattern(_HIDDEN)

Title = Annotated[str, Meta(min_length=1, max_length=255, pattern=VISIBLE)]
Description = Annotated[str, Meta(max_length=65_535)]
CommentText = Annotated[str, Meta(min_length=1, max_length=65_535, pattern=VISIBLE)]
Category = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=50,
        pattern=SLUG,
        description="A lower-case slug, such as plumbing or pest-control.",
    ),
]
Tag = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=50,
        pattern=SLUG,
        description="A lower-case slug, such as urgent or after-hours.",
    ),
]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=50)]
# Of keys of an object, which have no description of their own in a schema.
ExternalSource = Annotated[str, Meta(min_length=1, max_length=50, pattern=SLUG)]
ExternalId = Annotated[str, Meta(min_length=1, max_length=255, pattern=VISIBLE)]
_EXTERNAL_IDS = "The ids in other systems, by source: a lower-case slug that names the other system."
GivenExternalIds = Annotated[
    dict[ExternalSource, ExternalId], Meta(max_length=SOURCES_PER_OBJECT, description=_EXTERNAL_IDS)
]
ChangedExternalIds = Annotated[
    dict[ExternalSource, ExternalId | None],
    Meta(max_length=2 * SOURCES_PER_OBJECT, description=f"{_EXTERNAL_IDS} null removes the id of a source."),
]
NamedExternalId = Annotated[
    str,
    Meta(
        max_length=306,
        pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*:[\s\S]{1,255}\Z",
        description="A source and an id in it, such as sap:4711.",
        # A comma may be part of an id, so it separates two of them only before a source.
        extra={"separator": r",(?=\s*[a-z0-9]+(?:[_-][a-z0-9]+)*:)"},
    ),
]
ExternalIdFilter = Annotated[
    tuple[NamedExternalId, ...], Meta(description="Ids in other systems, such as sap:4711")
]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=VISIBLE)]
Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=254,
        pattern=EMAIL,
        description="An e-mail address.",
    ),
]
Phone = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=32,
        pattern=r"^[0-9+(). x/#*-]+\Z",
        description="Digits, spaces and the characters + ( ) . / # * - and x, such as +1 555 0100 x12.",
    ),
]
AddressLine = Annotated[str, Meta(min_length=1, max_length=255, pattern=VISIBLE)]
WebhookUrl = Annotated[str, Meta(min_length=1, max_length=2_048, description="An https address.")]
NO_WORDS = "The q parameter must contain a letter or a digit."
# As long as a title, so that a title can be pasted.
SearchText = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=VISIBLE, description="Words to search for.")
]


def is_id(text: str) -> bool:
    """Whether the text may be an Id."""
    return re.match(_ID, text) is not None


def is_visible(text: str) -> bool:
    """Whether the text has a character that can be seen."""
    return re.search(VISIBLE, text) is not None


def fold_case(text: str) -> str:
    """The text for comparisons that ignore case, surrounding and repeated white space, invisible characters,
    and whether characters are composed (Unicode 3.13, D145)."""
    visible = _INVISIBLE.sub("", text)
    folded = unicodedata.normalize("NFD", " ".join(visible.split())).casefold()
    return unicodedata.normalize("NFC", folded)
