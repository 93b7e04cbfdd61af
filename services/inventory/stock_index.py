"""An in-memory index of the stores that have a product, fast enough for thousands of products a second.

A small stock is loaded as a whole, which also shows that a product is not stocked. Of a large stock only the requested
products are loaded. The index is valid for one version of the catalogue.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from clients.inventory.catalogue import CATALOGUE_KEY
from clients.persistence import PersistenceClient, StoredItem
from clients.replies import Members
from shared.domain.names import fold_names
from shared.domain.tables import INVENTORY, STOCK

_PAGE = 1000
_ALL_PAGES = 5
_MAX_PRODUCTS = 100_000
_PRODUCTS_AT_ONCE = 100


class StockIndex:
    """Stores and counts by product. Each method raises the client's errors, and can be called again after that."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._version: int | None = None
        self.is_complete = False
        """Whether all items are loaded; otherwise `load_products` loads the requested ones."""
        self.stores: dict[str, dict[str, int]] = {}
        """The last known count of each product in each store.

        Keys are folded product names and store names, in the order of stores.
        """

    async def refresh_index(self) -> None:
        """Reloads the index if the catalogue has changed."""
        version = (await self._client.get_item(INVENTORY.name, CATALOGUE_KEY)).version
        if version == self._version:
            return
        self._version = None
        self.stores = {}
        cursor: str | None = None
        for _ in range(_ALL_PAGES):
            page = await self._client.query(STOCK.name, "all", page_size=_PAGE, cursor=cursor)
            self._add_items(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        self.is_complete = cursor is None
        if not self.is_complete:
            self.stores = {}
        self._version = version

    async def load_products(self, names: Iterable[str]) -> None:
        """Loads those of the products that are not in the index."""
        if len(self.stores) > _MAX_PRODUCTS:
            self.stores.clear()
        unknown = [name for name in set(names) if name not in self.stores]
        for start in range(0, len(unknown), _PRODUCTS_AT_ONCE):
            await asyncio.gather(*map(self._load_product, unknown[start : start + _PRODUCTS_AT_ONCE]))

    async def _load_product(self, name: str) -> None:
        found: list[StoredItem] = []
        async for page in self._client.iterate_pages(STOCK.name, "by_item", partition=name, page_size=_PAGE):
            found += page.items
        self.stores[name] = {}
        self._add_items(found)

    async def read_counts(self, names: Collection[str]) -> None:
        """Reads the current counts of these products."""
        keys = [{"store": store, "item": name} for name in names for store in self.stores.get(name, ())]
        for start in range(0, len(keys), _PAGE):
            part = keys[start : start + _PAGE]
            for key, found in zip(part, await self._client.get_items(STOCK.name, part), strict=True):
                self.stores[key["item"]][key["store"]] = _available_count(found.item)

    def _add_items(self, found: Sequence[StoredItem]) -> None:
        for one in found:
            assert one.item is not None
            store, name = one.item["store"], one.item["item"]
            # The suite creates no such names, but other clients may.
            if "\t" not in store + name and "\n" not in store + name:
                self.stores.setdefault(fold_names(name), {})[store] = _available_count(one.item)


def _available_count(item: Members | None) -> int:
    """Returns the available count; 0 for a missing item or an invalid count."""
    read_counts: Any = 0 if item is None else item.get("count")
    return read_counts if isinstance(read_counts, int) and not isinstance(read_counts, bool) else 0
