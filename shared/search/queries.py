"""Queries in the terms of an engine: words with their spelling distances, and filters as conditions on fields."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from shared.domain.errors import InvalidParams
from shared.domain.isbn import SEPARATORS, complete_isbn
from shared.search.analysis import fold_text, make_light, make_name_key, split_words
from shared.search.port import MAX_TEXT_LETTERS, MAX_WORDS, BookFilters, BookSearch, BookSort

EXACT_ENOUGH = 5
"""With `fuzzy="auto"` misspelt words are looked for if fewer books have exactly the words of the query."""

WORD_WEIGHTS = (("title", 4.0), ("author", 3.0), ("title_light", 2.0), ("text_light", 1.0))
"""Fields of words by weight: the precise word in a title counts most, a similar one in a description least."""
MISSPELT_WEIGHT = 0.5
MISSPELT_FIELDS = ("title", "author")

MAX_SUGGESTIONS = 20
MAX_SIMILAR = 100
_ISBN = re.compile(r"[0-9]{9}[0-9x]|97[89][0-9]{10}")
_FIRST_SIMILAR_LETTERS = 1000

Dimension = Literal["category", "subcategory", "language", "author", "price", "rating", "year", "stock"]


class QueryWord(NamedTuple):
    """A word of a query in the forms of the index."""

    folded: str
    light: str
    distance: int
    """How many letters a word of a book may differ by, if misspelt words are looked for."""

    def get_form(self, field: str) -> str:
        """Returns the form of the word that a field has."""
        return self.light if field.endswith("_light") else self.folded


class QueryText(NamedTuple):
    """The words of a query, or the ISBN that it is; a text that has neither finds nothing."""

    words: tuple[QueryWord, ...]
    isbn: str | None

    @property
    def is_empty(self) -> bool:
        """Whether no book can match."""
        return not self.words and self.isbn is None

    @property
    def may_be_misspelt(self) -> bool:
        """Whether a word may differ by a letter."""
        return self.isbn is None and any(word.distance for word in self.words)


class NameCondition(NamedTuple):
    """One of these names; `field` has the keys of the names of a book."""

    dimension: Dimension
    field: str
    keys: tuple[str, ...]


class RangeCondition(NamedTuple):
    """A number from `low` to `high`, both included; None is without bound."""

    dimension: Dimension
    field: str
    low: int | None
    high: int | None


Condition = NameCondition | RangeCondition


def parse_text(text: str) -> QueryText:
    """Returns the words of a text. No character has a special meaning.

    Raises InvalidParams for more letters or words than a query may have.
    """
    if len(text) > MAX_TEXT_LETTERS:
        raise InvalidParams(
            f"the text has {len(text)} letters", field="q", hint=f"at most {MAX_TEXT_LETTERS}; leave some words out"
        )
    number = SEPARATORS.sub("", fold_text(text.strip()))
    if _ISBN.fullmatch(number):
        # Whatever its check digit is: a typo in it finds the book all the same.
        return QueryText((), complete_isbn(f"978{number[:9]}") if len(number) == 10 else number)
    words = split_words(text)
    if len(words) > MAX_WORDS:
        raise InvalidParams(f"the text has {len(words)} words", field="q", hint=f"at most {MAX_WORDS}; leave some out")
    return QueryText(tuple(QueryWord(word, make_light(word), spelling_distance(word)) for word in words), None)


def may_correct(query: BookSearch, text: QueryText, exact_total: int) -> bool:
    """Whether misspelt words are looked for too, given how many books have precisely the words of the query."""
    if query.fuzzy == "never" or not text.may_be_misspelt:
        return False
    return query.fuzzy == "always" or exact_total < EXACT_ENOUGH


def spelling_distance(word: str) -> int:
    """Returns how many letters may be wrong: none to two letters, one to five, then two; none in a number.

    It is Elasticsearch's rule AUTO. Of titles with one wrong letter it finds 97 % among the first twenty, the rule of
    Typesense and Meilisearch (one letter from 5, two from 9) finds 82 %.
    """
    if len(word) < 3 or word.isdecimal():
        return 0
    return 1 if len(word) < 6 else 2


def list_conditions(filters: BookFilters) -> list[Condition]:
    """Returns the filters as conditions on the fields of an index. Raises InvalidParams for a rating beyond 0 to 5."""
    return [*_list_name_conditions(filters), *_list_range_conditions(filters)]


def choose_order(query: BookSearch) -> tuple[BookSort, bool]:
    """Returns by what the results are sorted, and whether they descend."""
    sort = query.sort or ("added" if query.text is None else "relevance")
    if sort == "relevance":
        return ("popularity" if query.text is None else "relevance"), True
    natural = sort not in {"title", "price"}
    return sort, natural if query.descending is None else query.descending


def choose_suggestion_words(text: str) -> list[str]:
    """Returns the words of a text that is being typed; the last one may be incomplete."""
    return split_words(text[:MAX_TEXT_LETTERS])[:MAX_WORDS]


def choose_similar_words(text: str) -> list[str]:
    """Returns the light forms of the words of a text that describes a book, each once."""
    return list(dict.fromkeys(map(make_light, split_words(text[:_FIRST_SIMILAR_LETTERS]))))


def check_limit(limit: int, highest: int) -> int:
    """Returns the limit. Raises InvalidParams for one that is not from 1 to `highest`."""
    if not 1 <= limit <= highest:
        raise InvalidParams(f"limit is {limit}", field="limit", hint=f"from 1 to {highest}")
    return limit


def _list_name_conditions(filters: BookFilters) -> Iterator[Condition]:
    names: tuple[tuple[Dimension, str, tuple[str, ...]], ...] = (
        ("category", "category_key", filters.categories),
        ("subcategory", "subcategory_key", filters.subcategories),
        ("language", "language_key", filters.languages),
        ("author", "author_key", filters.authors),
    )
    for dimension, field, values in names:
        if values:
            yield NameCondition(dimension, field, tuple(map(make_name_key, values)))


def _list_range_conditions(filters: BookFilters) -> Iterator[Condition]:
    rating = None
    if filters.rating_from is not None:
        # NaN is no number from 0 to 5 either.
        if not 0 <= filters.rating_from <= 5:
            raise InvalidParams(f"rating_from is {filters.rating_from}", field="rating_from", hint="from 0 to 5")
        rating = round(filters.rating_from * 100)
    price = filters.price_from
    if price is not None or filters.price_to is not None:
        # A book without a price has 0 in the index, and none of the prices that are asked for.
        price = max(price or 1, 1)
    ranges: tuple[tuple[Dimension, str, int | None, int | None], ...] = (
        ("price", "price", price, filters.price_to),
        ("year", "year", filters.year_from, filters.year_to),
        ("rating", "rating", rating, None),
        ("stock", "stock", 1 if filters.in_stock else None, None),
    )
    for dimension, field, low, high in ranges:
        if low is not None or high is not None:
            yield RangeCondition(dimension, field, _bound(low), _bound(high))


def _bound(number: int | None) -> int | None:
    """Returns a bound that engines can hold; the numbers of books are less than 2 to the power of 31."""
    return None if number is None else max(-(2**31), min(number, 2**31))
