"""Texts that must not be empty have a character that can be seen."""

import re
import sys
import unicodedata
from typing import Annotated, get_origin

import msgspec
import pytest

from api.http.queries import parse_query
from api.v1.users import UserListQuery
from domain import text
from domain.errors import Invalid

INVISIBLE = [
    "\u200b",  # zero width space
    "\u200d\ufe0f",  # joiner and variation selector
    "\u3164",  # Hangul filler
    "\uffa0\u115f\u1160",
    "\u2800",  # empty Braille pattern
    "\u202e\u2066\u061c",  # bidirectional controls
    "\xad\u034f",
    "\ufeff",
    "\u180e\u17b4",
    "\u2062",
    "\U000e0041\U000e007f",  # tags
    "\U000e0100",
    "\u00a0\u3000",
]
VISIBLE = ["a", "漏", "🚿", ".", "\u0301", "👨\u200d👩", "\u200bx", "می\u200cخواهم", "\u0600", "\ue000"]
TYPES = [text.Title, text.CommentText, text.Name, text.AddressLine, text.SearchText]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_text_of_invisible_characters_counts_as_empty(kind):
    for value in INVISIBLE:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)
    for value in VISIBLE:
        assert msgspec.convert(value, kind) == value


def test_every_format_character_and_space_is_invisible_except_signs_of_scripts():
    """Arabic, Syriac, Kaithi and hieroglyphic format characters are drawn."""
    drawn = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cf", "Cc", "Zs", "Zl", "Zp") and text.is_visible(chr(code))
    ]

    names = {unicodedata.name(chr(code)).split()[0] for code in drawn}
    assert names == {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"}


def test_the_json_schema_of_a_text_refuses_the_same_values_up_to_u_ffff():
    for code in range(0x10000):
        character = chr(code)
        assert bool(re.search(text.VISIBLE_FOR_JSON_SCHEMA, character)) == text.is_visible(character)
    assert not re.search(text.VISIBLE_FOR_JSON_SCHEMA, "a\0b")


def test_every_type_with_a_minimum_length_refuses_invisible_text():
    others = {
        "Category",
        "Tag",
        "ExternalSource",
        "Email",
        "Phone",
        "WebhookUrl",
    }  # their patterns or checks refuse it too
    kinds = {name: value for name, value in vars(text).items() if get_origin(value) is Annotated}
    needed = {name for name, kind in kinds.items() if any(meta.min_length for meta in kind.__metadata__)}

    assert needed - others == {name for name, kind in kinds.items() if kind in TYPES}


@pytest.mark.parametrize("invisible", ["\u200b", "\xad", "\U000e0041", "\U0001d173", "\u00a0"])
@pytest.mark.parametrize("address", ["ada{}@example.com", "ada@{}example.com", "ada@example.{}com"])
def test_an_email_address_contains_no_invisible_character(address, invisible):
    """Two people could have addresses that look the same."""
    assert msgspec.convert(address.format(""), text.Email)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(address.format(invisible), text.Email)
    assert re.search(text.EMAIL_FOR_JSON_SCHEMA, address.format(""))


def test_a_text_that_is_no_id_is_told_what_an_id_is():
    with pytest.raises(Invalid, match="An id: 1 to 64 letters, digits, hyphens or underscores"):
        parse_query("property_id=Main+Street", UserListQuery)
