"""The adapters that the contract suite is run over: SQLite and DynamoDB on real databases, and the fakes of tests."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from shared.stores.dynamodb.settings import DynamoSettings, DynamoWorkSettings
from shared.stores.dynamodb.stores import dynamo_orders, dynamo_work
from shared.stores.ports.feeds import OrderFeed
from shared.stores.ports.orders import OrderStore, WorkStore
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.work_store import SqliteWorkStore
from tests.support.dynamodb import own_tables
from tests.support.memory_orders import MemoryOrderFeed, MemoryOrders, MemoryOrderStore, MemoryWorkStore


class Adapter(Protocol):
    """One database, and the stores opened on it."""

    async def orders(self, *, request_id_seconds: float = 0) -> OrderStore:
        """The intake's side."""

    async def work(self) -> WorkStore:
        """A worker's side, of the last intake."""

    async def close(self) -> None:
        """Closes what is open, the last one first."""


class SqliteAdapter:
    """Files of one intake."""

    def __init__(self, folder: Path) -> None:
        self.files = StoreFiles(folder / "orders.db")
        self._opened: list[OrderStore | WorkStore] = []

    async def orders(self, *, request_id_seconds: float = 0) -> OrderStore:
        store = SqliteOrderStore(self.files, request_id_seconds=request_id_seconds)
        self._opened.append(store)
        return store

    async def work(self) -> WorkStore:
        store = SqliteWorkStore(self.files)
        self._opened.append(store)
        return store

    def feed(self) -> OrderFeed:
        return SqliteOrderFeed(self.files)

    async def close(self) -> None:
        while self._opened:
            await self._opened.pop().close()


class MemoryAdapter:
    """The fake that tests of services use."""

    def __init__(self) -> None:
        self.database = MemoryOrders()

    async def orders(self, *, request_id_seconds: float = 0) -> OrderStore:
        return MemoryOrderStore(self.database, request_id_seconds=request_id_seconds)

    async def work(self) -> WorkStore:
        return MemoryWorkStore(self.database)

    def feed(self) -> OrderFeed:
        return MemoryOrderFeed(self.database)

    async def close(self) -> None:
        """Nothing is open."""


class DynamoAdapter:
    """Tables on a DynamoDB-compatible server."""

    def __init__(self, settings: DynamoSettings) -> None:
        self.settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._work: DynamoWorkSettings | None = None

    async def orders(self, *, request_id_seconds: float = 0) -> OrderStore:
        opened = dynamo_orders(self.settings, lease_seconds=60, request_id_seconds=request_id_seconds)
        store, self._work = await self._stack.enter_async_context(opened)
        return store

    async def work(self) -> WorkStore:
        assert self._work is not None
        return await self._stack.enter_async_context(dynamo_work(self._work))

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["memory", "sqlite", pytest.param("dynamodb", marks=pytest.mark.server)])
async def adapter(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Adapter]:
    """An empty database."""
    made: Adapter
    if request.param == "memory":
        made = MemoryAdapter()
    elif request.param == "sqlite":
        made = SqliteAdapter(tmp_path)
    else:
        made = DynamoAdapter(own_tables(request.getfixturevalue("dynamodb")))
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
