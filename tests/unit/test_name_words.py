"""The words by which people are found: those of name and address, without case and accents."""

import pytest

from domain.errors import Invalid
from projections.name_words import search_patterns, search_text

PEOPLE = {
    "zoe": ("Zoë Ångström-Núñez", "z.angstrom@nordic.example"),
    "sean": ("Seán O’Brien", "sean_obrien+home@post.example"),
    "lukasz": ("Łukasz Straße", "LS@WORK.example"),
    "taro": ("山田 太郎", "taro@example.com"),
    "hanako": ("鈴木花子", "hanako@example.com"),
}


def found(query):
    """The people whose texts match all patterns, which contain no wildcard but those at their ends."""
    words = [pattern.removeprefix("%").removesuffix("%") for pattern in search_patterns(query)]
    assert not any("%" in word or "_" in word for word in words)
    texts = {person: search_text(*fields) for person, fields in PEOPLE.items()}
    return {person for person, text in texts.items() if all(word in text for word in words)}


@pytest.mark.parametrize(
    ("query", "person"),
    [
        ("zoe", "zoe"),
        ("ZOË ång", "zoe"),
        ("nunez", "zoe"),
        ("Zoe\u0308", "zoe"),
        ("angstromnunez", "zoe"),
        ("z.ang", "zoe"),
        ("obrien", "sean"),
        ("o'brien", "sean"),
        ("sean_obrien+home@post.example", "sean"),
        ("home", "sean"),
        ("lukasz strasse", "lukasz"),
        ("ls@work", "lukasz"),
        ("太郎", "taro"),
        ("花子", "hanako"),
        ("鈴木花子", "hanako"),
        ("花子 鈴木", "hanako"),
    ],
)
def test_the_beginnings_of_all_words_find_a_person(query, person):
    assert found(query) == {person}


@pytest.mark.parametrize("query", ["oe", "zoe brien", "zoee", "anako", "子花"])
def test_other_parts_of_words_find_nobody(query):
    assert found(query) == set()


@pytest.mark.parametrize("query", ["%", "_", "@", "’", "\u0301", " - "])
def test_a_query_without_letters_and_digits_is_refused(query):
    with pytest.raises(Invalid, match="must contain a letter or a digit"):
        search_patterns(query)
