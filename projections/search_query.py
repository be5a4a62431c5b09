"""Translates what a person types into the search field to queries of PostgreSQL (tsquery).

docs/reference/search.md describes the syntax. A text without a word has no conditions, and callers refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from projections.search_terms import (
    JOINED_PARTS,
    LONGEST_NUMBER,
    LONGEST_TERM,
    QUOTES,
    SHORTEST_NUMBER,
    Unit,
    forms_of_number,
    joined,
    normalise,
    numbers_of,
    pairs_of,
    quote,
    units_of,
)

MOST_CONDITIONS = 200  # of one search; a text of 200 characters may become longer when it is normalised
LONGEST_PHRASE = 200  # terms
SHORTEST_INFLECTED = 4  # letters
_PHRASE = re.compile(rf"(?<!\w)(?P<minus>(?<!\S)-)?[{QUOTES}](?P<text>[^{QUOTES}]*)[{QUOTES}]")
# A minus excludes a word if a space is before it and a letter after it: `-wombat`, not ` - ` and not `-5`.
_EXCLUDED = re.compile(r"(?<!\S)-(?=[^\W\d_])\S+")
_ENGLISH_WORD = re.compile(r"[a-z]+")
_TICKET_NUMBER = re.compile(r"#?\s*([0-9]{1,18})")


class SearchQuery(NamedTuple):
    """Conditions that a ticket must fulfil, and those that it must not; each is the text of a tsquery."""

    required: list[str]
    excluded: list[str]

    @property
    def all_required(self) -> str:
        """The required conditions as one tsquery."""
        return all_of(self.required)

    @property
    def any_required(self) -> str:
        """A tsquery that at least one of the required conditions fulfils."""
        return any_of(self.required)

    @property
    def has_words(self) -> bool:
        return bool(self.required or self.excluded)

    @property
    def whole(self) -> str:
        """All conditions as one tsquery."""
        return all_of([*self.required, *(f"!{condition}" for condition in self.excluded)])


class _Lexemes:
    """Writes lexemes, with a weight if only terms of that weight may match. `names` has the conditions that
    match a word by a name."""

    def __init__(self, weight: str, names: Mapping[str, Sequence[str]]) -> None:
        self._weight = weight
        self.names = names

    def exact(self, term: str) -> str:
        term = quote(term[:LONGEST_TERM])
        return f"{term}:{self._weight}" if self._weight else term

    def beginning(self, term: str) -> str:
        return f"{quote(term[:LONGEST_TERM])}:*{self._weight}"


def parse_search(
    text: str, *, weight: str = "", names: Mapping[str, Sequence[str]] | None = None
) -> SearchQuery:
    """The conditions that the text means. With `weight`, only terms of that weight in a tsvector match.

    `names` has further conditions of words (projections/name_search.py), each of which is enough. They do not
    apply to phrases and telephone numbers.
    """
    lexemes = _Lexemes(weight, names or {})
    required: list[str] = []
    excluded: list[str] = []
    text = normalise(text)
    for found in _PHRASE.finditer(text):
        if condition := _phrase(found["text"], lexemes):
            (excluded if found["minus"] else required).append(condition)
    text = _PHRASE.sub(" ", text)
    for word in _EXCLUDED.findall(text):
        if conditions := list(_conditions(word, lexemes)):
            excluded.append(all_of(conditions))
    required += _conditions(_EXCLUDED.sub(" ", text), lexemes)
    return SearchQuery(
        list(dict.fromkeys(required))[:MOST_CONDITIONS], list(dict.fromkeys(excluded))[:MOST_CONDITIONS]
    )


def words_of(text: str) -> list[str]:
    """The words of the search that may mean names, each once: all but those of phrases."""
    text = normalise(text)
    return list(dict.fromkeys(text[unit.start : unit.end] for unit in units_of(_PHRASE.sub(" ", text))))


def ticket_number(text: str) -> int | None:
    """The number of a ticket, if the text is nothing else, such as 1042 or #1042."""
    found = _TICKET_NUMBER.fullmatch(normalise(text).strip())
    return int(found[1]) if found else None


def _conditions(text: str, lexemes: _Lexemes) -> Iterator[str]:
    """A condition for each unit of the text, and for each telephone number."""
    units = list(units_of(text))
    for number in numbers_of(text):
        inside = [unit for unit in units if number.start <= unit.start and unit.end <= number.end]
        overlapping = [unit for unit in units if unit.start < number.end and unit.end > number.start]
        digits = "".join(number.groups)
        if inside == overlapping and SHORTEST_NUMBER <= len(digits) <= LONGEST_NUMBER:
            forms = sorted(forms_of_number(digits, number.is_international))
            separate = all_of([_condition(unit, text, lexemes) for unit in inside])
            yield any_of(list(dict.fromkeys([*map(lexemes.beginning, forms), separate])))
            units = [unit for unit in units if unit not in inside]
    for unit in units:
        yield _condition(unit, text, lexemes)


def _condition(unit: Unit, text: str, lexemes: _Lexemes) -> str:
    """The condition for a unit of the text: its words, or a name."""
    names = lexemes.names.get(text[unit.start : unit.end], ())
    return any_of([_condition_for_words(unit, lexemes), *names])


def _condition_for_words(unit: Unit, lexemes: _Lexemes) -> str:
    if unit.is_run:
        run = unit.parts[0]
        return _sequence(_located_terms([unit]), lexemes) if len(run) > 1 else lexemes.beginning(run)
    if len(unit.parts) == 1:
        word = unit.parts[0]
        return any_of([lexemes.beginning(word), *map(lexemes.exact, inflections(word))])
    groups = [unit.parts[n : n + JOINED_PARTS] for n in range(0, len(unit.parts), JOINED_PARTS)]
    together = all_of([lexemes.beginning(joined(group)) for group in groups])
    other_forms = map(lexemes.exact, inflections("".join(unit.parts)))  # tenant for tenant's
    return any_of([together, _sequence(_located_terms([unit]), lexemes), *other_forms])


def _phrase(text: str, lexemes: _Lexemes) -> str:
    """The condition for words that follow one another; empty if there are none."""
    return _sequence(_located_terms(units_of(text)), lexemes)


def _located_terms(units: Iterable[Unit]) -> list[tuple[str, int, bool]]:
    """The terms of consecutive units, each with its position and whether it may be longer in the text.

    The last character of a run is a part of the pair before it, and the run may go on in the text.
    """
    terms: list[tuple[str, int, bool]] = []
    reached = 0
    for unit in units:
        if unit.is_run:
            run = unit.parts[0]
            pairs = pairs_of(run)[:-1] or [run]
            terms += [(pair, reached + n, len(run) == 1) for n, pair in enumerate(pairs)]
            reached += len(run)
        else:
            terms += [(part, reached + n, False) for n, part in enumerate(unit.parts)]
            reached += len(unit.parts)
    return terms[:LONGEST_PHRASE]


def _sequence(terms: Sequence[tuple[str, int, bool]], lexemes: _Lexemes) -> str:
    text, before = "", 0
    for term, position, is_beginning in terms:
        lexeme = lexemes.beginning(term) if is_beginning else lexemes.exact(term)
        text += f" <{position - before}> {lexeme}" if text else lexeme
        before = position
    return f"({text})" if len(terms) > 1 else text


def inflections(word: str) -> list[str]:
    """Other forms of an English word with the endings -s, -ed and -ing, such as `leak` for `leaks`.

    Forms that begin with the word itself are not included. Some of the others are not words.
    """
    if len(word) < SHORTEST_INFLECTED or not _ENGLISH_WORD.fullmatch(word):
        return []
    return [form for form in _forms(word) if not form.startswith(word)]


def _forms(word: str) -> list[str]:
    for ending in ("ies", "ied", "y"):
        if stem := _without(ending, word):
            return [stem + each for each in ("y", "ies", "ied", "ying")]
    for ending in ("ing", "ed", "es", "s"):
        if stem := _without(ending, word):
            last = stem[-1]
            doubled = [f"{stem}{last}ed", f"{stem}{last}ing"] if ending == "s" else []  # dripping for drips
            single = [stem[:-1], f"{stem[:-1]}s"] if stem.endswith(last * 2) else []  # drips for dripping
            return [*(stem + each for each in ("", "e", "s", "es", "ed", "ing")), *doubled, *single]
    return []


def _without(ending: str, word: str) -> str:
    """The word without the ending; empty if the rest is too short or the word has another ending."""
    stem = word.removesuffix(ending)
    return stem if SHORTEST_INFLECTED - 1 <= len(stem) < len(word) else ""


def all_of(conditions: Sequence[str]) -> str:
    return f"({' & '.join(conditions)})" if len(conditions) > 1 else "".join(conditions)


def any_of(conditions: Sequence[str]) -> str:
    return f"({' | '.join(conditions)})" if len(conditions) > 1 else "".join(conditions)
