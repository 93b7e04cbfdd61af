"""Books and lists of a shop over the persistence server, in this process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.persistence import PersistenceClient
from clients.shop import lists
from clients.shop.books import (
    StoredBook,
    change_book,
    count_books,
    create_book,
    delete_book,
    get_book,
    get_book_by_isbn,
    get_books,
    iterate_books,
)
from shared.domain.errors import ComandaError, Conflict, InvalidParams, NotFound, PreconditionFailed
from shared.domain.isbn import complete_isbn
from shared.domain.tables import BOOK_ISBNS, BOOKS, FAVORITES, STOCK
from tests.support.in_process import Suite


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server."""
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


@pytest.fixture
def records(client: PersistenceClient) -> PersistenceClient:
    """The records of a shop."""
    return client.of("books")


def members(number: int = 1, **changes: Any) -> dict[str, Any]:
    isbn = complete_isbn(f"978{number:09}")
    return {"isbn": isbn, "title": f"Libro {number}", "author": "Ana Paz", "price": 1299, **changes}


async def add(records: PersistenceClient, number: int = 1, stock: int = 3) -> StoredBook:
    return await create_book(records, members(number), stock)


async def test_a_book_is_found_by_its_id_and_isbn(records: PersistenceClient) -> None:
    added = await add(records)
    assert await get_book(records, added.book.book) == added
    assert await get_book_by_isbn(records, "978-" + str(added.book.isbn)[3:]) == added
    assert (added.book.seq, added.stock, await count_books(records)) == (1, 3, 1)
    with pytest.raises(NotFound):
        await get_book(records, "0" * 8)
    with pytest.raises(InvalidParams, match="check digit"):
        await get_book_by_isbn(records, "9780439023482")


async def test_an_isbn_is_one_book_also_for_many_at_once(records: PersistenceClient) -> None:
    outcomes = await asyncio.gather(*(add(records) for _ in range(10)), return_exceptions=True)
    (added,) = [one for one in outcomes if isinstance(one, StoredBook)]
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert (len(refused), refused[0].field, refused[0].details) == (9, "isbn", {"book_id": added.book.book})
    assert await count_books(records) == 1
    assert [len(page) async for page in iterate_books(records) if page] == [1]


async def test_tenants_have_their_own_books(client: PersistenceClient) -> None:
    one, other = await add(client.of("one")), await add(client.of("other"))
    assert one.book.isbn == other.book.isbn
    with pytest.raises(NotFound):
        await get_book(client.of("one"), other.book.book)
    assert await get_books(client.of("one"), [one.book.book, other.book.book]) == [one, None]


async def test_a_change_meets_the_version_that_was_seen(records: PersistenceClient) -> None:
    added = await add(records)
    seen = added.version, added.stock_version
    changed = await change_book(records, added.book.book, {"price": 999}, seen=seen)
    assert (changed.book.price, changed.book.title, changed.stock) == (999, "Libro 1", 3)
    with pytest.raises(PreconditionFailed):
        await change_book(records, added.book.book, {"price": 1}, seen=seen)
    with pytest.raises(PreconditionFailed):
        await delete_book(records, added.book.book, seen=seen)
    seen = changed.version, changed.stock_version
    sold = await change_book(records, added.book.book, {}, 2)
    with pytest.raises(PreconditionFailed):
        await change_book(records, added.book.book, {}, 5, seen=(sold.version, seen[1]))
    # A sale does not refuse a new price.
    assert (await change_book(records, added.book.book, {"price": 5}, seen=(sold.version, seen[1]))).stock == 2


async def test_simultaneous_changes_all_take_effect(records: PersistenceClient) -> None:
    book = (await add(records)).book.book
    fields = ("title", "editorial", "category", "description")
    await asyncio.gather(*(change_book(records, book, {field: field}) for field in fields))
    found = (await get_book(records, book)).book
    assert [getattr(found, field) for field in fields] == list(fields)


async def test_a_deleted_book_is_not_listed_and_stays_readable(records: PersistenceClient) -> None:
    added = await add(records)
    await lists.add_favorite(records, "ana", added.book.book)
    await delete_book(records, added.book.book)
    for attempt in (get_book(records, added.book.book), delete_book(records, added.book.book)):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(NotFound):
        await get_book_by_isbn(records, str(added.book.isbn))
    (kept,) = await get_books(records, [added.book.book])
    assert kept is not None
    assert (kept.book.active, kept.book.title) == (False, "Libro 1")
    (entry,) = await lists.attach_books(records, await lists.list_favorites(records, "ana"))
    assert entry.stored == kept
    assert (await count_books(records), [page async for page in iterate_books(records) if page]) == (0, [])
    # Its ISBN is free for another book.
    assert (await add(records)).book.book != added.book.book


async def test_a_book_comes_with_its_claim_or_not_at_all(records: PersistenceClient) -> None:
    await records.put_item(BOOK_ISBNS.name, {"isbn": members()["isbn"], "book": "another"})
    with pytest.raises(Conflict):
        await add(records)
    assert not [page async for page in iterate_books(records) if page]
    assert not (await records.query(STOCK.name, "all")).items
    assert await count_books(records) == 0


async def test_favorites_are_listed_newest_first(records: PersistenceClient) -> None:
    books = [(await add(records, number)).book.book for number in range(3)]
    for book in [*books, books[0]]:
        await lists.add_favorite(records, "ana", book)
    assert [entry.book for entry in await lists.list_favorites(records, "ana")] == books[::-1]
    assert await lists.list_favorites(records, "eva") == []
    await lists.remove_favorite(records, "ana", books[1])
    await lists.remove_favorite(records, "ana", books[1])
    assert len(await lists.list_favorites(records, "ana")) == 2
    with pytest.raises(NotFound):
        await lists.add_favorite(records, "ana", "none")


async def test_wishes_are_listed_by_priority_and_keep_their_price(records: PersistenceClient) -> None:
    books = [(await add(records, number)).book.book for number in range(3)]
    for book, priority in zip(books, (3, 1, 3), strict=True):
        await lists.add_wish(records, "ana", book, priority)
    await change_book(records, books[0], {"price": 100})
    again = await lists.add_wish(records, "ana", books[0], 5)
    assert (again.priority, again.price_when_added) == (5, 1299)
    entries = await lists.attach_books(records, await lists.list_wishes(records, "ana"))
    assert [(entry.book, entry.priority) for entry in entries] == [(books[1], 1), (books[2], 3), (books[0], 5)]
    assert entries[2].stored is not None
    assert (entries[2].stored.book.price, entries[2].added_at) == (100, again.added_at)
    await lists.remove_wish(records, "ana", books[1])
    assert len(await lists.list_wishes(records, "ana")) == 2


async def test_lists_have_a_bound(records: PersistenceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LISTED", 2)
    books = [(await add(records, number)).book.book for number in range(3)]
    for book in books[:2]:
        await lists.add_favorite(records, "ana", book)
        await lists.add_wish(records, "ana", book, 3)
    for attempt in (lists.add_favorite(records, "ana", books[2]), lists.add_wish(records, "ana", books[2], 3)):
        with pytest.raises(Conflict, match="no room"):
            await attempt
    assert (await lists.add_wish(records, "ana", books[0], 1)).priority == 1


async def test_records_of_other_programs_are_an_error_not_a_crash(records: PersistenceClient) -> None:
    await records.put_item(BOOKS.name, {"book": "odd", "title": 1})
    await records.put_item(FAVORITES.name, {"user": "ana", "book": "odd", "added_at": "2026"})
    with pytest.raises(ComandaError, match="not a book"):
        await get_book(records, "odd")
