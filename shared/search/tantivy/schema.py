"""The schema of an index of tantivy, and the document of a book.

The schema is part of `SCHEMA_VERSION`: an index that was made with another one is built again.
"""

from typing import NamedTuple

import msgspec
import tantivy

from shared.search.fields import bound_year, make_fields
from shared.search.port import IndexedBook

POSITION_ID = "_position"
"""The id of the document that has the position in the change feed.

It is a document so that the position and the books it belongs to are always committed together.
"""

TITLE_PARTS = ("title_1", "title_2", "title_3")
"""The first 24 bytes of `by_title` as numbers of 8 bytes: tantivy finds ranges of numbers, and not of texts."""
_PART_BYTES = 8

NAMED = "named"
"""The words of titles and authors together: looking for misspelt words in one field takes half the time of two."""

HEADS = "heads"
HEAD_LETTERS = 3
"""The first one to three letters of each word are terms, since a search for all words that begin so is slow."""

POPULAR = (("++", 10_000), ("+", 100))
"""Marks before these letters in books with so many ratings: the most popular ones are found without all others."""

STARS = "stars"
PRICE_STEP = "price_step"
"""Few different numbers are counted in a third of the time that ranges of numbers take."""

YEAR_MISSING = -(2**31)
"""The year of a book without one, before all years that a book can have."""

_WORD_FIELDS = ("title", "author", "title_light", "text_light")
_NAME_KEYS = ("category_key", "subcategory_key", "language_key", "author_key")
_NAMES = ("category", "subcategory", "language", "author_name")
_NUMBERS = ("version", "price", "rating", "stock")
_ORDERS = ("by_price", "by_rating", "by_year", "by_added", "by_popularity", *TITLE_PARTS)


class StoredHit(NamedTuple):
    """The stored members of a book that the index has found."""

    book: str
    title: str
    authors: tuple[str, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredHit).decode


def make_schema() -> tantivy.Schema:
    """Returns the schema."""
    builder = tantivy.SchemaBuilder()
    builder.add_bytes_field("stored", stored=True)
    for name in ("book", "isbn", *_NAME_KEYS):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in _WORD_FIELDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    for name in (*_NAMES, "by_title"):
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    for name in (*_NUMBERS, *_ORDERS, STARS, PRICE_STEP):
        builder.add_unsigned_field(name, fast=True)
    builder.add_integer_field("year", fast=True)
    for name in (NAMED, HEADS):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    builder.add_float_field("weight", fast=True)
    return builder.build()


def make_document(book: IndexedBook) -> tantivy.Document:
    """Returns the document of a book."""
    fields = make_fields(book)
    numbers = {
        "version": book.version,
        "price": fields.price,
        "rating": fields.rating,
        "stock": fields.stock,
        STARS: fields.rating // 100,
        PRICE_STEP: number_price_step(fields.price),
        **fields.keys,
        **dict(zip(TITLE_PARTS, number_title(fields.by_title), strict=True)),
    }
    texts = {
        "book": book.book,
        "title": fields.title,
        "author": fields.author,
        "title_light": fields.title_light,
        "text_light": fields.text_light,
        "category_key": fields.category_key,
        "subcategory_key": fields.subcategory_key,
        "language_key": fields.language_key,
        "category": book.category,
        "subcategory": book.subcategory,
        "language": book.language,
        "by_title": fields.by_title,
        "isbn": book.isbn or "",
        NAMED: f"{fields.title} {fields.author}",
        HEADS: " ".join(_list_heads(f"{fields.title} {fields.author}", book.ratings)),
    }
    document = tantivy.Document()
    document.add_bytes("stored", _encode(StoredHit(book.book, book.title, book.authors)))
    for name, text in texts.items():
        # Names are columns, of which tantivy reads those without gaps three times as fast.
        if text or name in _NAMES:
            document.add_text(name, text)
    for author in book.authors:
        document.add_text("author_name", author)
    for key in fields.author_keys:
        document.add_text("author_key", key)
    for name, number in numbers.items():
        document.add_unsigned(name, number)
    year = bound_year(book.publication_year)
    document.add_integer("year", YEAR_MISSING if year is None else year)
    # tantivy multiplies the relevance by log2(2 + weight).
    document.add_float("weight", 2**fields.weight - 2)
    return document


def make_position_document(position: str) -> tantivy.Document:
    """Returns the document of a position in the change feed."""
    document = tantivy.Document()
    document.add_text("book", POSITION_ID)
    document.add_bytes("stored", _encode(StoredHit(POSITION_ID, position, ())))
    return document


def read_stored(document: tantivy.Document) -> StoredHit:
    """Returns what is stored of a book; the title of the position's document is the position."""
    return _decode(bytes(document.get_first("stored") or b""))


def _list_heads(words: str, ratings: int) -> set[str]:
    marks = ["", *(mark for mark, least in POPULAR if ratings >= least)]
    heads = {word[:letters] for word in words.split() for letters in range(1, HEAD_LETTERS + 1)}
    return {mark + head for mark in marks for head in heads}


def number_price_step(price: int) -> int:
    """Returns a number that sorts like a price, and stands for its first digit and the number of its digits."""
    digits = str(price)
    return 10 * len(digits) + int(digits[0])


def is_price_step(bound: int) -> bool:
    """Whether a price is the lowest one of its step, such as 2000."""
    return bound > 0 and not str(bound)[1:].strip("0")


def number_title(key: str) -> list[int]:
    """Returns the first bytes of a value of `by_title` as numbers that sort like the text, one for each of TITLE_PARTS.

    In UTF-8, bytes sort like letters. Texts with equal numbers are compared as texts.
    """
    size = _PART_BYTES * len(TITLE_PARTS)
    begun = key.encode()[:size].ljust(size, b"\0")
    return [int.from_bytes(begun[start : start + _PART_BYTES]) for start in range(0, size, _PART_BYTES)]
