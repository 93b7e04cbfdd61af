"""Books for tests of the search."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.search.port import IndexedBook

CREATED = 1_760_000_000_000_000


def make_book(book: str, title: str = "Un libro", **members: Any) -> IndexedBook:
    """A book; all that is not given has a plain value."""
    return IndexedBook(book=book, title=title, **{"version": 1, "price": 1299, "created_at": CREATED, **members})


async def iterate_batches(books: Sequence[IndexedBook], size: int = 100) -> AsyncIterator[Sequence[IndexedBook]]:
    """The books in batches, as the records are read."""
    for start in range(0, len(books), size):
        yield books[start : start + size]
