"""Which products are stocked where, as somebody knows it who asks for thousands of products a second.

Where few items are stocked all of them are known, so that a product that is not is known not to be. Where there are
more, only those are known that were asked for. The catalogue's version says for how long.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from clients.inventory.catalogue import CATALOGUE
from clients.persistence import PersistenceClient, StoredItem
from clients.replies import Members
from shared.domain.names import fold_names
from shared.domain.tables import INVENTORY, STOCK

_PAGE = 1000
_ALL_PAGES = 5
_NAMES = 100_000
_ASKED_TOGETHER = 100


class Stocked:
    """What is stocked, by its name. Every method raises what the client does, and can then be called again."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._version: int | None = None
        self.whole = False
        """Whether all that is stocked is known; else `learn` asks for what one wants to know."""
        self.stores: dict[str, dict[str, int]] = {}
        """The count in each store that has an item, by the item and the store, in the order of stores; of late.

        Items are named in the form in which names are compared, stores as they are.
        """

    async def look(self) -> None:
        """Forgets what is no longer so: what is said to be stocked from here on is so now."""
        version = (await self._client.get_item(INVENTORY.name, CATALOGUE)).version
        if version == self._version:
            return
        self._version = None
        self.stores = {}
        cursor: str | None = None
        for _ in range(_ALL_PAGES):
            page = await self._client.query(STOCK.name, "all", page_size=_PAGE, cursor=cursor)
            self._enter(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        self.whole = cursor is None
        if not self.whole:
            self.stores = {}
        self._version = version

    async def learn(self, names: Iterable[str]) -> None:
        """Asks for those of the names that are not known."""
        if len(self.stores) > _NAMES:
            self.stores.clear()
        unknown = [name for name in set(names) if name not in self.stores]
        for start in range(0, len(unknown), _ASKED_TOGETHER):
            await asyncio.gather(*map(self._ask, unknown[start : start + _ASKED_TOGETHER]))

    async def _ask(self, name: str) -> None:
        found: list[StoredItem] = []
        cursor: str | None = None
        while True:
            page = await self._client.query(STOCK.name, "by_item", partition=name, page_size=_PAGE, cursor=cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
        self.stores[name] = {}
        self._enter(found)

    async def count(self, names: Collection[str]) -> None:
        """Reads the counts of what is stocked under these names: they are those of now."""
        keys = [{"store": store, "item": name} for name in names for store in self.stores.get(name, ())]
        for start in range(0, len(keys), _PAGE):
            part = keys[start : start + _PAGE]
            for key, found in zip(part, await self._client.get_items(STOCK.name, part), strict=True):
                self.stores[key["item"]][key["store"]] = _count(found.item)

    def _enter(self, found: Sequence[StoredItem]) -> None:
        for one in found:
            assert one.item is not None
            store, name = one.item["store"], one.item["item"]
            # Nothing of the suite makes such names; what is written by hand may be anything.
            if "\t" not in store + name and "\n" not in store + name:
                self.stores.setdefault(fold_names(name), {})[store] = _count(one.item)


def _count(item: Members | None) -> int:
    """How many can be taken; none of what is gone, or has no whole number for its count."""
    count: Any = 0 if item is None else item.get("count")
    return count if isinstance(count, int) and not isinstance(count, bool) else 0
