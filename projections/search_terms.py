"""Splits text into the terms of a search, and builds the index values of PostgreSQL from them.

PostgreSQL's own parser is not used: its results depend on the locale of the server, and it keeps `B-12`, file
names and addresses together in ways that people do not type. docs/reference/search.md describes the rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import methodcaller
from typing import NamedTuple

LONGEST_TERM = 64  # characters; longer words are equal if their first 64 characters are
LONGEST_NUMBER = 20  # digits that are joined over spaces: a telephone number with its extension
SHORTEST_NUMBER = 7
JOINED_PARTS = 8  # of one word such as IMG_1234.jpg that are also indexed without the characters between them
# A tsvector has at most 255 positions of a term, each at most 16,383. Positions start again after
# LAST_POSITION, so that phrases are also found in long texts.
POSITIONS_PER_TERM = 255
LAST_POSITION = 8_000
LONGEST_POSITIONS = 5 * POSITIONS_PER_TERM  # characters, such as `8000,`
LARGEST_VECTOR_BYTES = 1_000_000
BYTES_PER_TERM = 3  # for alignment and the number of positions
WITHIN_LIMIT = 1_000  # positions, whose terms are never larger than that together
CACHED_LENGTH = 24  # words up to this length are split only once
LONGEST_TEXT = 262_144  # characters; some characters become 18 when they are normalised
TITLE = "B"  # the weight of the terms of titles, for the order by relevance
GAP = 2  # between the positions of two texts, so that no phrase extends over both

_BEFORE_FOLDING = str.maketrans({"™": " ", "℠": " ", "\u200b": " "})  # NFKC would append TM to the word
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
# Accents of Latin, Greek and Cyrillic letters except that of й; optional vowel signs of Hebrew and Arabic.
_ACCENTS = re.compile("(?!(?<=\u0438)\u0306)[\u0300-\u036f]|[\u0591-\u05c7\u0640\u064b-\u065f\u0670]")
# Blocks of scripts that are written without spaces between words. Korean has spaces, but compounds omit them.
_UNSPACED = (
    (0x0E00, 0x10A0),  # Thai, Lao, Tibetan, Myanmar
    (0x1100, 0x1200),  # Korean
    (0x1780, 0x1800),  # Khmer
    (0x1950, 0x19E0),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AB0),  # Tai Tham
    (0x2E80, 0xA4D0),  # Chinese, Japanese, Yi
    (0xA960, 0xA980),  # Korean
    (0xA980, 0xA9E0),  # Javanese
    (0xA9E0, 0xAA80),  # Myanmar
    (0xAA80, 0xAAE0),  # Tai Viet
    (0xAC00, 0xD800),  # Korean
    (0xF900, 0xFB00),  # Chinese
    (0x16FE0, 0x1B300),  # Tangut, Khitan, Japanese
    (0x20000, 0x40000),  # Chinese
)
# Signs within words. Some of the forms of the apostrophe are letters in Unicode.
_APOSTROPHES = "'`\u00b4\u2018\u2019\u201b\u2032\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u055a\u05f3\u05f4"
_JOINERS = f"-\u2010\u2011\u2012_.\u00b7\u2027@&{_APOSTROPHES}"
_JOINERS_OF_NUMBERS = ",/:"
QUOTES = '"\u201c\u201d\u201e\u201f\u00ab\u00bb'

# The patterns of the classes of characters. L: letter, D: digit, U: letter of a script without spaces,
# J and K: joiners of words and of numbers, S: space, Q: quote, P: other punctuation or symbol.
_UNIT = re.compile(
    r"(?P<run>U++)"
    r"|(?P<compound>(?:L++|D++)(?:(?:J|(?<=D)K(?=D))(?:L++|D++)|(?<=D)L++|(?<=L)D++)++)"
    r"|L++|D++"
)
_PART = re.compile("L+|D+")
_NUMBER = re.compile(r"(?<!\d)(\+?)\(?\d(?:[ ()./\-\u2010-\u2015]{0,3}\d){6,}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


def is_unspaced(character: str) -> bool:
    """Whether the character is of a script without spaces between words."""
    return any(first <= ord(character) < end for first, end in _UNSPACED)


class _Classes(dict[int, str]):
    """The class of each code point, computed when it first occurs."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _class_of(chr(code))
        return found


def _class_of(character: str) -> str:
    if character in _JOINERS:
        return "J"
    if character in _JOINERS_OF_NUMBERS:
        return "K"
    if character in QUOTES:
        return "Q"
    category = unicodedata.category(character)
    if category == "Nd":
        return "D"
    if category[0] in "LMN":
        return "U" if is_unspaced(character) else "L"
    return "S" if character.isspace() else "P"


class _Plain(dict[int, str | int | None]):
    """Replaces digits of all scripts by ASCII ones, and removes invisible characters."""

    def __missing__(self, code: int) -> str | int | None:
        character = chr(code)
        match unicodedata.category(character):
            case "Nd":
                found: str | int | None = str(unicodedata.decimal(character))
            case "Cf":
                found = None
            case _:
                found = None if 0xFE00 <= code < 0xFE10 or 0xE0100 <= code < 0xE01F0 else code
        self[code] = found
        return found


_span = methodcaller("span")
_classes = _Classes()
_plain = _Plain()


class Unit(NamedTuple):
    """A word, a compound such as `B-12` with several parts, or a run of characters without spaces."""

    start: int
    end: int
    parts: list[str]
    is_run: bool


class PhoneNumber(NamedTuple):
    """Groups of digits that may be one number, such as `(555) 123-4567`."""

    start: int
    end: int
    groups: list[str]
    is_international: bool


def normalise(text: str) -> str:
    """The text in the form in which texts are compared: without case, accents and forms of presentation."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text.translate(_BEFORE_FOLDING)).casefold().translate(_LETTERS)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)).casefold()
    return unicodedata.normalize("NFKC", bare.translate(_plain)).translate(_LETTERS)


def classify(text: str) -> str:
    """The classes of the characters of a normalised text."""
    return text.translate(_classes)


def units_of(text: str) -> Iterator[Unit]:
    """The units of a normalised text, in order."""
    classes = classify(text)
    for found in _UNIT.finditer(classes):
        start, end = found.span()
        match found.lastgroup:
            case "run":
                yield Unit(start, end, [text[start:end]], True)
            case "compound":
                parts = [text[a:b] for a, b in map(_span, _PART.finditer(classes, start, end))]
                yield Unit(start, end, parts, False)
            case _:
                yield Unit(start, end, [text[start:end]], False)


def numbers_of(text: str) -> Iterator[PhoneNumber]:
    """The sequences of digits in a normalised text that are long enough for a telephone number."""
    for found in _NUMBER.finditer(text):
        yield PhoneNumber(*found.span(), _DIGITS.findall(text, *found.span()), bool(found[1]))


def forms_of_number(digits: str, is_international: bool) -> set[str]:
    """The digits, and the same number without a country code or leading zeros.

    The length of a country code is not known, so that one, two and three digits are removed.
    """
    forms = {digits}
    if is_international or digits.startswith("00"):
        bare = digits.lstrip("0")
        forms |= {bare[length:] for length in range(4)}
    elif len(digits) == 11 and digits.startswith("1"):
        forms.add(digits[1:])
    forms |= {form.lstrip("0") for form in forms}
    return {form for form in forms if len(form) >= SHORTEST_NUMBER}


def joined(parts: Sequence[str]) -> str:
    """A compound as one term: `b12` for `B-12`."""
    return "".join(parts[:JOINED_PARTS])[:LONGEST_TERM]


def pairs_of(run: str) -> list[str]:
    """Each character of a run with the one after it; the last character alone."""
    return [*(a + b for a, b in pairwise(run)), run[-1]]


def quote(term: str) -> str:
    """The term in the text of a tsvector or tsquery. It has only letters, marks and digits."""
    return f"'{term}'"


def quote_any(term: str) -> str:
    """The term in the text of a tsquery, whatever its characters are."""
    return quote(term.replace("\\", "\\\\").replace("'", "''"))


def build_vector(*texts: str, has_title: bool = False) -> tuple[str, int]:
    """The text of a tsvector with the terms of all texts, and the number of their positions.

    With `has_title` the terms of the first text have the weight B, the others the weight D.

    Parts of a unit have successive positions. The joined form of a compound is at the position of the part
    with which it begins; the joined forms of numbers, which phrases do not need, are at the last position.
    """
    positions: dict[str, str] = {}  # of each term, as text, because lists take twice the time
    reached = GAP - 1
    for number, text in enumerate(normalise(given)[:LONGEST_TEXT] for given in texts):
        weight = TITLE if has_title and number == 0 else ""
        for chunk in text.split():
            terms, width = _terms_of_short(chunk) if len(chunk) <= CACHED_LENGTH else _terms_of(chunk)
            for term, offset in terms:
                position = (reached + offset) % LAST_POSITION + 1
                before = positions.get(term)
                if before is None:
                    positions[term] = f"{position}{weight}"
                elif len(before) < LONGEST_POSITIONS:
                    positions[term] = f"{before},{position}{weight}"
            reached += width
        if _DIGITS.search(text):
            for term in _joined_numbers(text):
                positions.setdefault(term, f"{reached % LAST_POSITION + 1}{weight}")
        reached += GAP - 1
    if reached > WITHIN_LIMIT:
        positions = _within_limit(positions)
    return " ".join([f"'{term}':{found}" for term, found in positions.items()]), reached


def _terms_of(chunk: str) -> tuple[list[tuple[str, int]], int]:
    """The terms of a text without spaces with their positions from 0 on, and the number of positions."""
    terms: list[tuple[str, int]] = []
    reached = 0
    for unit in units_of(chunk):
        parts = pairs_of(unit.parts[0]) if unit.is_run else unit.parts
        terms += [(part[:LONGEST_TERM], reached + n) for n, part in enumerate(parts)]
        if len(unit.parts) > 1:
            terms += [(joined(parts[n : n + JOINED_PARTS]), reached + n) for n in range(len(parts) - 1)]
        reached += len(parts)
    return terms, reached


_terms_of_short = lru_cache(maxsize=20_000)(_terms_of)


def _joined_numbers(text: str) -> Iterator[str]:
    """The forms of each number from each of its groups on."""
    for number in numbers_of(text):
        for index in range(len(number.groups)):
            digits = _first_groups(number.groups[index : index + LONGEST_NUMBER])
            yield from forms_of_number(digits, number.is_international and index == 0)


def _first_groups(groups: Sequence[str]) -> str:
    """The groups, joined, that have at most LONGEST_NUMBER digits together."""
    digits = groups[0][:LONGEST_TERM]
    for group in groups[1:]:
        if len(digits) + len(group) > LONGEST_NUMBER:
            break
        digits += group
    return digits


def _within_limit(positions: dict[str, str]) -> dict[str, str]:
    """The terms, without the last ones if they would exceed the largest tsvector."""
    kept: dict[str, str] = {}
    size_bytes = 0
    for term, found in positions.items():
        stored_positions = min(found.count(",") + 1, POSITIONS_PER_TERM)
        size_bytes += len(term.encode()) + 2 * stored_positions + BYTES_PER_TERM
        if size_bytes > LARGEST_VECTOR_BYTES:
            break
        kept[term] = found
    return kept
