"""Finds the properties, units, people and categories that the words of a search may mean.

A ticket's document contains their ids as terms (sql/ticket_terms.sql), so that a new name is one row.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.name_words import patterns_of
from projections.search_query import words_of
from projections.search_terms import quote_any

MOST_WORDS = 12  # of one search, which are looked up
MOST_NAMES = 500  # of a kind for a word
MOST_UNITS = 2_000  # many properties have a unit of the same name
_sql = named_queries(Path(__file__).parent / "sql" / "name_search.sql")


def find_names(pool: Pool, caller: Caller, text: str) -> dict[str, list[str]]:
    """For each word of the search, the conditions (tsquery) by which tickets of such a name match it.

    A word means the names that contain a word that begins with it, within the caller's reach, and the
    categories that begin with it.
    """
    words = words_of(text)[:MOST_WORDS]
    found = {word: [f"{quote_any(f'#{word}')}:*"] for word in words}
    parameters = {
        "words": msgspec.json.encode([patterns_of(word) or [word] for word in words]).decode(),
        "reach": None if caller.property_ids is None else list(caller.property_ids),
        "most": MOST_NAMES,
        "most_units": MOST_UNITS,
    }
    for number, term in pool.fetch(_sql["find_names"], parameters):
        found[words[number - 1]].append(quote_any(term))
    return found
