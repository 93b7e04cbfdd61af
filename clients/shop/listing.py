"""The listed books of a shop by their age, merged from the partitions of the index over all books."""

import asyncio
from collections import deque
from typing import Final

from clients.persistence import PersistenceClient, StoredItem
from shared.domain.books import SHARDS
from shared.domain.tables import BOOKS

_SHARDS_AT_ONCE: Final = 8
_SURPLUS: Final = 4


async def list_newest(
    records: PersistenceClient, *, limit: int, skip: int = 0, older_than: str | None = None
) -> list[str]:
    """Returns the ids of `limit` listed books, newest first, after `skip` of those that were added before a book."""
    return await _merge(records, limit, skip, bound=older_than, descending=True)


async def list_oldest(records: PersistenceClient, *, limit: int, newer_than: str) -> list[str]:
    """Returns the ids of `limit` listed books that were added after a book, oldest first."""
    return await _merge(records, limit, 0, bound=newer_than, descending=False)


async def _merge(
    records: PersistenceClient, limit: int, skip: int, *, bound: str | None, descending: bool
) -> list[str]:
    # Ids are random within a partition, so each has about the same share of a page.
    size = (skip + limit) // SHARDS + _SURPLUS
    shards = [_Shard(records, number, bound=bound, descending=descending, page_size=size) for number in range(SHARDS)]
    for start in range(0, SHARDS, _SHARDS_AT_ONCE):
        await asyncio.gather(*(shard.fill() for shard in shards[start : start + _SHARDS_AT_ONCE]))
    found: list[str] = []
    choose = max if descending else min
    for _ in range(skip + limit):
        filled = [shard for shard in shards if shard.waiting]
        if not filled:
            break
        best = choose(filled, key=_Shard.first_id)
        found.append(_id_of(best.waiting.popleft()))
        if not best.waiting:
            await best.fill()
    return found[skip:]


class _Shard:
    """One partition of the index, read page by page."""

    def __init__(
        self, records: PersistenceClient, number: int, *, bound: str | None, descending: bool, page_size: int
    ) -> None:
        self.waiting: deque[StoredItem] = deque()
        self._records = records
        self._number = number
        self._bound = bound
        self._descending = descending
        self._page_size = page_size
        self._cursor: str | None = None
        self._ended = False

    def first_id(self) -> str:
        """Returns the id of the next book."""
        return _id_of(self.waiting[0])

    async def fill(self) -> None:
        """Reads the next page, if there is one."""
        while not self.waiting and not self._ended:
            page = await self._records.query(
                BOOKS.name,
                "by_shard",
                partition=self._number,
                low=None if self._descending else self._bound,
                high=self._bound if self._descending else None,
                descending=self._descending,
                page_size=self._page_size,
                cursor=self._cursor,
            )
            # The bounds of a query are inclusive.
            self.waiting.extend(stored for stored in page.items if _id_of(stored) != self._bound)
            self._cursor = page.cursor
            self._ended = page.cursor is None


def _id_of(stored: StoredItem) -> str:
    assert stored.item is not None
    book: str = stored.item["listed"]
    return book
