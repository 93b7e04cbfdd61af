"""Stored notices to users about their purchases and the books of their wishlists.

All functions but those of the position take the client's view of one tenant, `PersistenceClient.of`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from clients.errors import Refused
from clients.persistence import PersistenceClient
from clients.shop.books import stock_key
from shared.domain.books import is_for_sale, read_book
from shared.domain.errors import InvalidParams
from shared.domain.notices import MAX_NOTICES, Notice, Offer, make_notice
from shared.domain.records import Action, Condition, Delete, Put
from shared.domain.stock import count_of
from shared.domain.tables import BOOKS, NOTICES, SHOP_STATE, STOCK, WISHES

_BATCH: Final = 100
_AT_ONCE: Final = 8
_POSITION: Final = {"name": "notice_position"}


async def list_notices(records: PersistenceClient, user: str) -> list[Notice]:
    """Returns a user's notices, newest first."""
    page = await records.query(NOTICES.name, partition=user, descending=True, page_size=MAX_NOTICES)
    return [msgspec.convert(stored.item, Notice) for stored in page.items if stored.item is not None]


async def delete_notice(records: PersistenceClient, user: str, notice: str) -> None:
    """Removes a notice, if it is there."""
    await records.delete_item(NOTICES.name, {"user": user, "notice": notice})


async def announce_offer(records: PersistenceClient, offer: Offer) -> None:
    """Stores a notice for every user who wishes for the book, unless the offer is over; may be repeated."""
    cursor: str | None = None
    title: str | None = None
    while True:
        page = await records.query(WISHES.name, "by_book", partition=offer.book, page_size=_BATCH, cursor=cursor)
        wishes = [stored.item for stored in page.items if stored.item is not None]
        if wishes and title is None and (title := await _find_title(records, offer)) is None:
            return
        made = [make_notice(offer, wish, title or "") for wish in wishes]
        await _store_notices(records, [notice for notice in made if notice is not None])
        cursor = page.cursor
        if cursor is None:
            return


async def announce_purchases(records: PersistenceClient, notices: Sequence[Notice]) -> None:
    """Stores the notices of purchases that have ended; may be repeated."""
    for start in range(0, len(notices), _BATCH):
        await _store_notices(records, notices[start : start + _BATCH])


async def load_position(records: PersistenceClient) -> str | None:
    """Returns the position in the feed of all tenants up to which offers are announced."""
    stored: Mapping[str, Any] | None = (await records.get_item(SHOP_STATE.name, _POSITION)).item
    return None if stored is None else str(stored["position"])


async def store_position(records: PersistenceClient, position: str) -> None:
    """Stores the position."""
    await records.transact([Put(SHOP_STATE.name, {**_POSITION, "position": position})], safe=True)


async def _find_title(records: PersistenceClient, offer: Offer) -> str | None:
    """Returns the title of a book; None if what the offer says of it is not true any more."""
    stored, stock = await records.get_pair((BOOKS.name, {"book": offer.book}), (STOCK.name, stock_key(offer.book)))
    if stored.item is None:
        return None
    try:
        book = read_book(stored.item)
    except InvalidParams:
        return None
    if offer.kind == "back_in_stock":
        return book.title if is_for_sale(book, count_of(stock.item) or 0) else None
    cheaper = book.active and book.price is not None and offer.price is not None and book.price <= offer.price
    return book.title if cheaper else None


async def _store_notices(records: PersistenceClient, notices: Sequence[Notice]) -> None:
    if not notices:
        return
    # One that is there stays: its user may have been told by an earlier attempt.
    new = Condition(exists=False)
    written = await records.batch([Put(NOTICES.name, msgspec.structs.asdict(one), new) for one in notices], safe=True)
    for outcome in written:
        if isinstance(outcome, Refused) and outcome.error != "conflict":
            raise outcome
    new_to = (one.user for one, outcome in zip(notices, written, strict=True) if not isinstance(outcome, Refused))
    users = list(dict.fromkeys(new_to))
    for start in range(0, len(users), _AT_ONCE):
        await asyncio.gather(*(_remove_oldest(records, user) for user in users[start : start + _AT_ONCE]))


async def _remove_oldest(records: PersistenceClient, user: str) -> None:
    page = await records.query(NOTICES.name, partition=user, descending=True, page_size=MAX_NOTICES + _BATCH)
    surplus = [stored.item for stored in page.items if stored.item is not None][MAX_NOTICES:]
    if surplus:
        removed: list[Action] = [Delete(NOTICES.name, {"user": user, "notice": one["notice"]}) for one in surplus]
        await records.batch(removed, safe=True)
