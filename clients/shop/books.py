"""Stored books of a shop: read, added, changed and deleted, together with their copies in stock.

All functions take the client's view of one tenant, `PersistenceClient.of`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from clients.errors import Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.books import MAIN_STORE, SHARDS, Book, read_book, shard_of
from shared.domain.errors import Conflict, ErrorReason, NotFound, PreconditionFailed
from shared.domain.ids import new_uuid7
from shared.domain.isbn import parse_isbn
from shared.domain.names import fold_names
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.stock import Cause, count_of
from shared.domain.tables import BOOK_ISBNS, BOOKS, SHOP_STATE, STOCK
from shared.runtime.clock import iso_now
from shared.wire.strict_json import shorten_text

_ATTEMPTS = 20
_PAGE = 1000
_COUNTERS = {"name": "books"}
_MAX_ID = 64


class StoredBook(NamedTuple):
    """A book, its copies in the store `Main`, and the versions of both records."""

    book: Book
    version: int
    stock: int
    stock_version: int


async def create_book(records: PersistenceClient, members: Mapping[str, Any], stock: int) -> StoredBook:
    """Adds a book with the members that `shared.domain.books.check_new_book` returns, and `stock` copies of it.

    Raises Conflict if the shop has a book with this ISBN.
    """
    isbn: str = members["isbn"]
    number = await reserve_numbers(records, 1)
    book = build_book(members, claim=isbn, seq=number)
    actions = [*addition_of(book, stock), advance_catalogue(), count_listed(1)]
    try:
        # A second attempt after a lost answer finds the claim of the first.
        written = await records.transact(actions, safe=True)
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        holder = (await records.get_item(BOOK_ISBNS.name, {"isbn": isbn})).item
        if holder is None:
            raise Conflict(
                "other clients keep changing the book", hint="try again later", reason=ErrorReason("busy")
            ) from None
        if holder["book"] != book.book:
            raise Conflict(
                f"there is a book with the ISBN {isbn}: {holder['book']}",
                field="isbn",
                hint="change that book instead",
                details={"book_id": holder["book"]},
                reason=ErrorReason("isbn_taken", isbn=isbn, book_id=holder["book"]),
            ) from None
        return await get_book(records, book.book)
    return StoredBook(book, written[0].version, stock, written[2].version)


def build_book(members: Mapping[str, Any], *, claim: str, seq: int) -> Book:
    """Returns a new book with an id; `claim` is its key in `BookIsbns`, `seq` its number in the shop."""
    book, now = new_uuid7(time.time_ns()), iso_now()
    return Book(book=book, **members, claim=claim, seq=seq, shard=shard_of(book), created_at=now, updated_at=now)


def addition_of(book: Book, stock: int | None) -> list[Action]:
    """Returns the actions that add a book, its claim, and its copies in stock unless `stock` is None."""
    new = Condition(exists=False)
    actions: list[Action] = [
        Put(BOOKS.name, {**msgspec.structs.asdict(book), "listed": book.book}, new),
        Put(BOOK_ISBNS.name, {"isbn": book.claim, "book": book.book}, new),
    ]
    return actions if stock is None else [*actions, _set_stock(book.book, stock)]


def count_listed(change: int) -> Update:
    """Returns the action for a transaction that adds or removes listed books."""
    return Update(SHOP_STATE.name, _COUNTERS, add={"listed": change})


async def reserve_numbers(records: PersistenceClient, count: int) -> int:
    """Reserves `count` numbers for new books, and returns the first; some may stay unused."""
    (written,) = await records.transact([Update(SHOP_STATE.name, _COUNTERS, add={"seq": count})])
    assert written.item is not None
    return int(written.item["seq"]) - count + 1


class BookCount(NamedTuple):
    """The number of listed books, and its version, which is another one after each addition and deletion."""

    listed: int
    version: int


async def count_books(records: PersistenceClient) -> int:
    """Returns the number of listed books."""
    return (await load_book_count(records)).listed


async def load_book_count(records: PersistenceClient) -> BookCount:
    """Returns the number of listed books with its version."""
    stored = await records.get_item(SHOP_STATE.name, _COUNTERS)
    return BookCount(0 if stored.item is None else int(stored.item.get("listed", 0)), stored.version)


async def get_book(records: PersistenceClient, book: str) -> StoredBook:
    """Returns one listed book. Raises NotFound, also for a deleted one."""
    # Another text cannot be a key.
    if len(book) > _MAX_ID or not fold_names(book):
        raise _no_book(book)
    stored, stock = await records.get_pair((BOOKS.name, {"book": book}), (STOCK.name, stock_key(book)))
    found = _join(stored, stock)
    if found is None or not found.book.active:
        raise _no_book(book)
    return found


async def get_book_by_isbn(records: PersistenceClient, isbn: str) -> StoredBook:
    """Returns the listed book with an ISBN of 10 or 13 digits. Raises NotFound, and InvalidParams for no ISBN."""
    number = parse_isbn(isbn)
    claim = await records.get_item(BOOK_ISBNS.name, {"isbn": number})
    if claim.item is None:
        raise NotFound(
            f"there is no book with the ISBN {number}", field="isbn", reason=ErrorReason("isbn_unknown", isbn=number)
        )
    return await get_book(records, claim.item["book"])


async def get_books(records: PersistenceClient, books: Sequence[str]) -> list[StoredBook | None]:
    """Returns up to 1,000 books in the order of their ids, deleted ones included; None where there is no book."""
    if not books:
        return []
    stored, stock = await asyncio.gather(
        records.get_items(BOOKS.name, [{"book": book} for book in books]),
        records.get_items(STOCK.name, [stock_key(book) for book in books]),
    )
    return [_join(one, copies) for one, copies in zip(stored, stock, strict=True)]


async def find_listed(records: PersistenceClient, books: Sequence[str]) -> set[str]:
    """Returns those of up to 1,000 books that are listed."""
    if not books:
        return set()
    stored = await records.get_items(BOOKS.name, [{"book": book} for book in books])
    return {one.item["book"] for one in stored if one.item is not None and one.item.get("active")}


async def iterate_books(
    records: PersistenceClient, shards: Sequence[int] = range(SHARDS)
) -> AsyncGenerator[list[StoredBook], None]:
    """Yields all listed books of some shards in lists of up to 1,000, for what is derived from them."""
    for shard in shards:
        async for page in records.iterate_pages(BOOKS.name, "by_shard", partition=shard, page_size=_PAGE):
            yield await attach_stock(records, page.items)


async def attach_stock(records: PersistenceClient, items: Sequence[StoredItem]) -> list[StoredBook]:
    """Returns up to 1,000 items of the table `Books` as books, with their copies."""
    keys = [stock_key(stored.item["book"]) for stored in items if stored.item is not None]
    if not keys:
        return []
    stock = await records.get_items(STOCK.name, keys)
    joined = (_join(one, copies) for one, copies in zip(items, stock, strict=True))
    return [one for one in joined if one is not None]


async def change_book(
    records: PersistenceClient,
    book: str,
    members: Mapping[str, Any],
    stock: int | None = None,
    *,
    seen: tuple[int, int] | None = None,
) -> StoredBook:
    """Changes members of a listed book, as `shared.domain.books.check_book_change` returns them, and its copies.

    `seen` are the versions of the book and its stock that the client has seen; that of the stock counts only if the
    stock is changed, so a sale does not refuse a new price. Raises NotFound, and PreconditionFailed.
    """
    for _ in range(_ATTEMPTS):
        found = await get_book(records, book)
        now = iso_now()
        if seen is not None and (seen[0] != found.version or (stock is not None and seen[1] != found.stock_version)):
            raise PreconditionFailed(
                "another client has changed the book",
                field="If-Match",
                hint="read it again and repeat the change",
                reason=ErrorReason("book_changed"),
            )
        change = {**members, "updated_at": now}
        actions: list[Action] = [
            Update(BOOKS.name, {"book": book}, set=change, when=Condition(version=found.version)),
        ]
        if stock is not None:
            actions.append(_set_stock(book, stock, Condition(version=found.stock_version)))
            if not found.stock_version:
                actions.append(advance_catalogue())
        try:
            written = await records.transact(actions)
        except Refused as refusal:
            # A record has changed since it was read.
            if not is_conflict(refusal):
                raise
            continue
        assert written[0].item is not None
        changed = StoredBook(read_book(written[0].item), written[0].version, found.stock, found.stock_version)
        return changed if stock is None else changed._replace(stock=stock, stock_version=written[1].version)
    raise Conflict("other clients keep changing the book", hint="try again later", reason=ErrorReason("busy"))


async def delete_book(records: PersistenceClient, book: str, *, seen: tuple[int, int] | None = None) -> None:
    """Takes a book off the shop's list; purchases and lists of users can still read it, and its ISBN becomes free.

    Raises NotFound, also for a book that was deleted before, and PreconditionFailed if another version was `seen`.
    """
    for _ in range(_ATTEMPTS):
        found = await get_book(records, book)
        if seen is not None and seen[0] != found.version:
            raise PreconditionFailed(
                "another client has changed the book",
                field="If-Match",
                hint="read it again and repeat the change",
                reason=ErrorReason("book_changed"),
            )
        try:
            await records.transact([*removal_of(found.book, Condition(version=found.version)), count_listed(-1)])
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            continue
        return
    raise Conflict("other clients keep changing the book", hint="try again later", reason=ErrorReason("busy"))


def removal_of(book: Book, when: Condition) -> list[Action]:
    """Returns the two actions that take a book off the list and release its claim."""
    change = {"active": False, "updated_at": iso_now()}
    removal = Update(BOOKS.name, {"book": book.book}, set=change, remove=["listed"], when=when)
    return [removal, Delete(BOOK_ISBNS.name, {"isbn": book.claim}, Condition(equal={"book": book.book}))]


def _set_stock(book: str, count: int, when: Condition | None = None) -> Update:
    change = {"count": count, "cause": Cause.EDIT.value, "reference": None, "changed": iso_now()}
    return Update(STOCK.name, stock_key(book), set=change, remove=["orders"], when=when)


def stock_key(book: str) -> dict[str, str]:
    """Returns the key of a book's copies in `Stock`."""
    return {"store": MAIN_STORE, "item": book}


def _join(stored: StoredItem, stock: StoredItem) -> StoredBook | None:
    if stored.item is None:
        return None
    return StoredBook(read_book(stored.item), stored.version, count_of(stock.item) or 0, stock.version)


def _no_book(book: str) -> NotFound:
    return NotFound(
        f"there is no book {shorten_text(book)}",
        field="id",
        hint="GET /api/v1/books lists what there is",
        reason=ErrorReason("book_unknown"),
    )
