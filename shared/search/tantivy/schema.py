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

TITLE_HEAD, TITLE_REST = "title_head", "title_rest"
"""The beginning of `by_title` as two numbers: tantivy finds ranges of numbers, and not of texts."""

NAMED = "named"
"""The words of titles and authors together: looking for misspelt words in one field takes half the time of two."""

HEADS = "heads"
HEAD_LETTERS = 3
"""The first one to three letters of each word are terms, since a search for all words that begin so is slow."""

_WORD_FIELDS = ("title", "author", "title_light", "text_light")
_NAME_KEYS = ("category_key", "subcategory_key", "language_key", "author_key")
_NAMES = ("category", "subcategory", "language", "author_name")
_NUMBERS = ("version", "price", "rating", "stock")
_ORDERS = ("by_price", "by_rating", "by_year", "by_added", "by_popularity", TITLE_HEAD, TITLE_REST)

_SYMBOLS = "\x1f 0123456789abcdefghijklmnopqrstuvwxyz"
_RANKS = {symbol: rank for rank, symbol in enumerate(_SYMBOLS)}
_OTHER = len(_SYMBOLS)
_BASE = 40
_LETTERS = 12
"""Letters that fit into 64 bits: 40 to the power of 12 is less than 2 to the power of 64."""


class StoredHit(NamedTuple):
    """What the index returns of a book that it has found."""

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
    for name in (*_NUMBERS, *_ORDERS):
        builder.add_unsigned_field(name, fast=True)
    builder.add_integer_field("year", fast=True)
    for name in (NAMED, HEADS):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    builder.add_float_field("weight", fast=True)
    return builder.build()


def make_document(book: IndexedBook) -> tantivy.Document:
    """Returns the document of a book."""
    fields = make_fields(book)
    head, rest = number_title(fields.by_title)
    numbers = {
        "version": book.version,
        "price": fields.price,
        "rating": fields.rating,
        "stock": fields.stock,
        **fields.keys,
        TITLE_HEAD: head,
        TITLE_REST: rest,
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
        HEADS: " ".join(_list_heads(f"{fields.title} {fields.author}")),
    }
    document = tantivy.Document()
    document.add_bytes("stored", _encode(StoredHit(book.book, book.title, book.authors)))
    for name, text in texts.items():
        if text:
            document.add_text(name, text)
    for author in book.authors:
        document.add_text("author_name", author)
    for key in fields.author_keys:
        document.add_text("author_key", key)
    for name, number in numbers.items():
        document.add_unsigned(name, number)
    year = bound_year(book.publication_year)
    if year is not None:
        document.add_integer("year", year)
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


def _list_heads(words: str) -> set[str]:
    return {word[:letters] for word in words.split() for letters in range(1, HEAD_LETTERS + 1)}


def number_title(key: str) -> tuple[int, int]:
    """Returns the first letters of a value of `by_title` as two numbers that sort like the text.

    A letter outside a to z, digits and the blank is the highest digit, and ends the number: what follows it cannot be
    compared. Texts with equal numbers are compared as texts.
    """
    ranks: list[int] = []
    for letter in key[: 2 * _LETTERS]:
        ranks.append(_RANKS.get(letter, _OTHER))
        if ranks[-1] == _OTHER:
            break
    ranks += [0] * (2 * _LETTERS - len(ranks))
    head, rest = 0, 0
    for rank in ranks[:_LETTERS]:
        head = head * _BASE + rank
    for rank in ranks[_LETTERS:]:
        rest = rest * _BASE + rank
    return head, rest
