"""The mapping of an index, and the document of a book."""

from typing import Any

from shared.search.fields import KEY_FIELDS, bound_year, make_fields
from shared.search.port import MAX_DEPTH, IndexedBook

_KEYWORDS = (
    "book",
    "isbn",
    "category",
    "subcategory",
    "language",
    "author_name",
    "category_key",
    "subcategory_key",
    "language_key",
    "author_key",
    "by_title",
)
_WORDS = ("title", "author", "title_light", "text_light")
_NUMBERS = ("price", "rating", "stock", "year", *(field for field in KEY_FIELDS.values() if field != "by_title"))

_PAGE_AND_ONE = 101


def make_index_body() -> dict[str, Any]:
    """Returns the settings and the mapping of a new index. Words arrive analysed, so that they are split at blanks."""
    properties: dict[str, Any] = {
        **{name: {"type": "keyword"} for name in _KEYWORDS},
        **{name: {"type": "text", "analyzer": "whitespace"} for name in _WORDS},
        **{name: {"type": "long"} for name in _NUMBERS},
        "weight": {"type": "float"},
        "shown_title": {"type": "keyword", "index": False, "doc_values": False},
    }
    # An edit has to be found within a second.
    settings = {"refresh_interval": "500ms", "max_result_window": MAX_DEPTH + _PAGE_AND_ONE}
    return {"settings": {"index": settings}, "mappings": {"dynamic": "strict", "properties": properties}}


def make_source(book: IndexedBook) -> dict[str, Any]:
    """Returns the document of a book."""
    fields = make_fields(book)
    return {
        "book": book.book,
        "isbn": book.isbn,
        "title": fields.title,
        "author": fields.author,
        "title_light": fields.title_light,
        "text_light": fields.text_light,
        "category": book.category,
        "subcategory": book.subcategory,
        "language": book.language,
        "author_name": book.authors,
        # A filter by a name without a word must not find the books without a name.
        "category_key": fields.category_key or None,
        "subcategory_key": fields.subcategory_key or None,
        "language_key": fields.language_key or None,
        "author_key": fields.author_keys,
        "price": fields.price,
        "rating": fields.rating,
        "stock": fields.stock,
        "year": bound_year(book.publication_year),
        # The server compares the ids of books with the same number itself.
        **fields.values,
        "by_title": fields.by_title,
        "weight": fields.weight,
        "shown_title": book.title,
    }
