"""Documents of the search index, read from the records of books."""

import datetime
import time
from collections.abc import AsyncGenerator, Sequence

import structlog

from clients.persistence import PersistenceClient, StoredItem
from clients.shop.books import stock_key
from shared.domain.books import SHARDS, Book, read_book, split_authors
from shared.domain.errors import InvalidParams
from shared.domain.stock import count_of
from shared.domain.tables import BOOKS, STOCK
from shared.search.port import IndexChange, IndexedBook, RemovedBook

_PAGE_BOOKS = 500
_HOUR = 3_600_000_000
"""In microseconds."""


class ReadClock:
    """The versions of documents: microseconds of the time at which their records were read, which only grow.

    Records that are read later are at least as new. Versions of the records themselves do not do: a count of copies
    that was deleted begins at 1 again.

    A document of a higher version is never replaced. So `limit`, which no version reaches within the next hour, is
    stored, and a service that starts with its machine's clock set back continues behind it.
    """

    def __init__(self) -> None:
        self._last = 0

    @property
    def limit(self) -> int:
        """A version that is higher than all of the past and of the next hour."""
        return max(self._last, time.time_ns() // 1000) + _HOUR

    def continue_behind(self, limit: int) -> None:
        """Has later versions be higher than the limit of an earlier service."""
        self._last = max(self._last, limit)

    def next_version(self) -> int:
        """Returns a version for records that are read from now on."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last


async def read_changes(records: PersistenceClient, books: Sequence[str], version: int) -> list[IndexChange]:
    """Returns up to 1,000 books of a tenant as they are now; those that are deleted, or none, are removed."""
    stored = await records.get_items(BOOKS.name, [{"book": book} for book in books])
    stock = await records.get_items(STOCK.name, [stock_key(book) for book in books])
    return [
        _make_document(one, copies, version) or RemovedBook(book, version)
        for book, one, copies in zip(books, stored, stock, strict=True)
    ]


async def iterate_documents(records: PersistenceClient, version: int) -> AsyncGenerator[list[IndexedBook], None]:
    """Yields all listed books of a tenant, partition by partition."""
    for shard in range(SHARDS):
        async for page in records.iterate_pages(BOOKS.name, "by_shard", partition=shard, page_size=_PAGE_BOOKS):
            items = [stored for stored in page.items if stored.item is not None]
            keys = [stock_key(stored.item["book"]) for stored in items if stored.item is not None]
            if keys:
                stock = await records.get_items(STOCK.name, keys)
                found = (_make_document(one, copies, version) for one, copies in zip(items, stock, strict=True))
                yield [one for one in found if one is not None]


def _make_document(stored: StoredItem, stock: StoredItem, version: int) -> IndexedBook | None:
    """Returns the document of a listed book, or None."""
    if stored.item is None:
        return None
    try:
        book = read_book(stored.item)
        created_at = _read_time(book)
    except (InvalidParams, ValueError) as error:
        # Another program has written it. It must not hold up the other books.
        structlog.get_logger().warning("book_not_indexed", book=str(stored.item.get("book"))[:40], reason=str(error))
        return None
    if not book.active:
        return None
    return IndexedBook(
        book=book.book,
        version=version,
        title=book.title,
        authors=tuple(split_authors(book.author)),
        isbn=book.isbn,
        editorial=book.editorial,
        category=book.category,
        subcategory=book.subcategory,
        description=book.description,
        language=book.language,
        price=book.price or 0,
        publication_year=book.publication_year,
        rating=float(book.rating),
        ratings=book.ratings,
        stock=count_of(stock.item) or 0,
        created_at=created_at,
    )


def _read_time(book: Book) -> int:
    moment = datetime.datetime.fromisoformat(book.created_at)
    return round(moment.timestamp() * 1_000_000)
