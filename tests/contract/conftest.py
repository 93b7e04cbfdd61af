"""The adapters that the contract suite is run over, each on a real database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.stores.ports import OrderStore, WorkStore
from shared.stores.sqlite.files import Files
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.work import SqliteWorkStore


class Adapter:
    """One database, and the stores opened on it."""

    def __init__(self, folder: Path) -> None:
        self.files = Files(folder / "orders.db")
        self._opened: list[OrderStore | WorkStore] = []

    async def orders(self) -> OrderStore:
        store = SqliteOrderStore(self.files)
        self._opened.append(store)
        return store

    async def work(self) -> WorkStore:
        store = SqliteWorkStore(self.files)
        self._opened.append(store)
        return store

    async def close(self) -> None:
        while self._opened:
            await self._opened.pop().close()


@pytest.fixture(params=["sqlite"])
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    """An empty database."""
    made = Adapter(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def orders(adapter: Adapter) -> OrderStore:
    """The intake's side, recovered and empty."""
    store = await adapter.orders()
    await store.recover()
    return store


@pytest.fixture
async def work(orders: OrderStore, adapter: Adapter) -> WorkStore:
    """A worker's side of the same database."""
    return await adapter.work()
