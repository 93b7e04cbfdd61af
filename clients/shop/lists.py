"""Lists of users of a shop: favourite books, and wishes with their priorities.

All functions take the client's view of one tenant, `PersistenceClient.of`. A book stays in the lists after it was
deleted from the shop.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from clients.persistence import PersistenceClient
from clients.shop.books import StoredBook, get_book, get_books
from shared.domain.errors import Conflict, ErrorReason
from shared.domain.records import Update
from shared.domain.tables import FAVORITES, WISHES
from shared.runtime.clock import iso_now

MAX_LISTED: Final = 1000
"""The number of books in one list of a user. A list is read as a whole: its pages and their total are exact."""
FIRST_PRIORITY: Final = 1
LAST_PRIORITY: Final = 5
DEFAULT_PRIORITY: Final = 3


class ListedBook(Struct, frozen=True):
    """An entry of a list, and its book, which may be deleted; None if the shop has no record of it."""

    book: str
    added_at: str
    stored: StoredBook | None = None
    priority: int = DEFAULT_PRIORITY
    price_when_added: int | None = None
    """Of a wish: the price in minor units; None if there was none."""


async def add_favorite(records: PersistenceClient, user: str, book: str) -> ListedBook:
    """Adds a book to a user's favourites; one that is there already stays as it is.

    Raises NotFound for a book that is not listed, and Conflict for a full list.
    """
    stored = await get_book(records, book)
    await _check_room(records, FAVORITES.name, user, book)
    update = Update(FAVORITES.name, _key(user, book), create={"added_at": iso_now()})
    (written,) = await records.transact([update], safe=True)
    assert written.item is not None
    return ListedBook(book, written.item["added_at"], stored)


async def remove_favorite(records: PersistenceClient, user: str, book: str) -> None:
    """Removes a book from a user's favourites, if it is there."""
    await records.delete_item(FAVORITES.name, _key(user, book))


async def list_favorites(records: PersistenceClient, user: str) -> list[ListedBook]:
    """Returns a user's favourites without their books, newest first."""
    entries = await _read_list(records, FAVORITES.name, "by_time", user, descending=True)
    return [ListedBook(entry["book"], entry["added_at"]) for entry in entries]


async def add_wish(records: PersistenceClient, user: str, book: str, priority: int) -> ListedBook:
    """Adds a book to a user's wishlist with a priority from 1, the most wanted, to 5; or changes its priority.

    The time and the price are those of the first time. Raises NotFound for a book that is not listed, and Conflict for
    a full list.
    """
    stored = await get_book(records, book)
    await _check_room(records, WISHES.name, user, book)
    found = (await records.get_item(WISHES.name, _key(user, book))).item
    added_at = iso_now() if found is None else found["added_at"]
    update = Update(
        WISHES.name,
        _key(user, book),
        set={"priority": priority, "rank": f"{priority} {added_at}"},
        create={"added_at": added_at, "price_when_added": stored.book.price},
    )
    (written,) = await records.transact([update], safe=True)
    assert written.item is not None
    return _read_wish(written.item, stored)


async def remove_wish(records: PersistenceClient, user: str, book: str) -> None:
    """Removes a book from a user's wishlist, if it is there."""
    await records.delete_item(WISHES.name, _key(user, book))


async def list_wishes(records: PersistenceClient, user: str) -> list[ListedBook]:
    """Returns a user's wishes without their books: the most wanted first, then the oldest."""
    entries = await _read_list(records, WISHES.name, "by_rank", user, descending=False)
    return [_read_wish(entry, None) for entry in entries]


async def attach_books(records: PersistenceClient, entries: Sequence[ListedBook]) -> list[ListedBook]:
    """Returns entries of a list with their books."""
    books = await get_books(records, [entry.book for entry in entries])
    return [
        ListedBook(entry.book, entry.added_at, stored, entry.priority, entry.price_when_added)
        for entry, stored in zip(entries, books, strict=True)
    ]


async def _read_list(
    records: PersistenceClient, table: str, index: str, user: str, *, descending: bool
) -> list[Mapping[str, Any]]:
    page = await records.query(table, index, partition=user, descending=descending, page_size=MAX_LISTED)
    found = [stored.item for stored in page.items if stored.item is not None]
    while page.cursor is not None and len(found) < MAX_LISTED:
        page = await records.query(
            table, index, partition=user, descending=descending, page_size=MAX_LISTED, cursor=page.cursor
        )
        found += [stored.item for stored in page.items if stored.item is not None]
    return list(found[:MAX_LISTED])


async def _check_room(records: PersistenceClient, table: str, user: str, book: str) -> None:
    """Raises Conflict if a list is full and the book is not in it."""
    page = await records.query(table, partition=user, page_size=MAX_LISTED)
    found = [stored.item for stored in page.items if stored.item is not None]
    if len(found) >= MAX_LISTED and all(entry["book"] != book for entry in found):
        raise Conflict(
            f"the list has {MAX_LISTED} books, and no room for more",
            hint="remove books from it",
            reason=ErrorReason("list_full", max=MAX_LISTED),
        )


def _read_wish(entry: Mapping[str, Any], stored: StoredBook | None) -> ListedBook:
    return ListedBook(entry["book"], entry["added_at"], stored, entry["priority"], entry.get("price_when_added"))


def _key(user: str, book: str) -> dict[str, str]:
    return {"user": user, "book": book}
