"""The fields of a book in an index, the same for every engine, and its values in each order of results."""

import math
import zlib
from typing import NamedTuple

from shared.search.analysis import join_initials, make_light, make_name_key, split_words
from shared.search.port import BookSort, IndexedBook

SCHEMA_VERSION = 3
"""Changes with the fields and with the analysis; an index of another version is built again."""

KEY_FIELDS: dict[BookSort, str] = {
    "title": "by_title",
    "price": "by_price",
    "rating": "by_rating",
    "year": "by_year",
    "added": "by_added",
    "popularity": "by_popularity",
}

_TITLE_KEY_LETTERS = 60
"""Titles are sorted by so many letters, then by the ids of the books; cursors have to stay short."""
_HIGHEST = 2**31 - 1
_YEAR_OFFSET = 100_000
"""Makes years before the common era positive; 0 is a book without a year."""
_ID_BITS = 32
_TIME_BITS, _TIME_ID_BITS = 52, 11
"""A time of insertion in microseconds, until the year 2112, leaves fewer bits for the id."""


class BookFields(NamedTuple):
    """Index terms, separated by blanks, names and numbers of a book."""

    title: str
    author: str
    title_light: str
    text_light: str
    """All words of the book, so that one list of books answers which ones have a word."""
    category_key: str
    subcategory_key: str
    language_key: str
    author_keys: list[str]
    price: int
    rating: int
    """In hundredths."""
    stock: int
    values: dict[str, int]
    """The numbers that books are sorted by, by name of the field: all but `by_title`."""
    keys: dict[str, int]
    """The same with the id of the book in the low bits."""
    by_title: str
    weight: float
    """A factor of the relevance, from 1 without ratings to 2 with ten million."""


def make_fields(book: IndexedBook) -> BookFields:
    """Returns the fields of a book."""
    title = split_words(book.title)
    authors = [split_words(author) for author in book.authors]
    initials = [word for name in book.authors for word in join_initials(name)]
    author = [*(word for words in authors for word in words), *initials]
    others = (book.description, book.category, book.subcategory, book.editorial)
    values = _make_values(book)
    text = [*title, *author, *(word for other in others for word in split_words(other))]
    return BookFields(
        title=" ".join(title),
        author=" ".join(author),
        title_light=" ".join(map(make_light, title)),
        text_light=" ".join(map(make_light, text)),
        category_key=make_name_key(book.category),
        subcategory_key=make_name_key(book.subcategory),
        language_key=make_name_key(book.language),
        author_keys=[" ".join(words) for words in authors if words],
        price=_bound(book.price),
        rating=_bound(round(book.rating * 100)),
        stock=_bound(book.stock),
        values=values,
        keys=_make_keys(book.book, values),
        by_title=f"{' '.join(title)[:_TITLE_KEY_LETTERS]}\x1f{book.book}",
        weight=1 + min(1.0, math.log10(1 + _bound(book.ratings)) / 7),
    )


def bound_year(year: int | None) -> int | None:
    """Returns the year of a book within what an index can hold."""
    return None if year is None else max(1 - _YEAR_OFFSET, min(year, _YEAR_OFFSET))


def _make_values(book: IndexedBook) -> dict[str, int]:
    year = bound_year(book.publication_year)
    return {
        "by_price": _bound(book.price),
        "by_rating": _bound(round(book.rating * 100)),
        "by_year": 0 if year is None else year + _YEAR_OFFSET,
        "by_added": max(0, min(book.created_at, 2**_TIME_BITS - 1)),
        "by_popularity": _bound(book.ratings),
    }


def _make_keys(book: str, values: dict[str, int]) -> dict[str, int]:
    """Returns numbers that sort like the values, and that few books share: their low bits are from the id.

    So a page can continue behind a number. Books with the same one, of which there are hardly any, are told apart by
    their ids.
    """
    low = zlib.crc32(book.encode())
    keys = {name: value << _ID_BITS | low for name, value in values.items()}
    return {**keys, "by_added": values["by_added"] << _TIME_ID_BITS | low >> (_ID_BITS - _TIME_ID_BITS)}


def _bound(value: int) -> int:
    return max(0, min(value, _HIGHEST))
