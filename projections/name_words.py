"""The words by which people, properties and units are found: those of their names and addresses.

Words are compared without case and accents. A word of a query finds the words that begin with it. In scripts
without spaces between words, such as Chinese, it finds the characters anywhere in a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from domain.errors import Invalid
from domain.text import NO_WORDS
from projections.search_terms import is_unspaced

LONGEST_REST = 32  # characters
_WORD = re.compile(r"[^\W_]+")
_JOINERS = re.compile(r"(?<=\w)['’\-‐‑](?=\w)")  # as in O'Brien and Smith-Jones
# Letters that Unicode does not decompose into a letter and an accent.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


def search_text(name: str, address: str = "") -> str:
    """The words of a name and of an e-mail or street address, each after a space.

    A name such as O'Brien is there in parts and as one word. A name in a script without spaces is there from
    each of its characters on.
    """
    words = [*_words(name), *_words(_JOINERS.sub("", name)), *_words(address)]
    beginnings = (text for word in words for text in _beginnings(word))
    return "".join(f" {text}" for text in dict.fromkeys(beginnings))


def search_patterns(query: str) -> list[str]:
    """For each word of the query, the LIKE pattern of the texts with a word that begins with it.

    Words are letters and digits only, so that they contain no wildcards. Raises Invalid for a query without
    words, which could match nobody.
    """
    patterns = patterns_of(query)
    if not patterns:
        raise Invalid({"q": [NO_WORDS]})
    return patterns


def patterns_of(text: str) -> list[str]:
    """The patterns as of search_patterns; none without words."""
    return [f"% {word}%" for word in dict.fromkeys(_words(text))]


def _beginnings(word: str) -> Iterator[str]:
    """The word, and its rest from each character of a script without spaces on."""
    yield word
    for start in range(1, min(len(word), LONGEST_REST)):
        if is_unspaced(word[start]):
            yield word[start : start + LONGEST_REST]


def _words(text: str) -> Iterator[str]:
    """The words of a text in lower case, without accents."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return iter(_WORD.findall(plain.translate(_PLAIN)))
