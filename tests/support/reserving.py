"""Stock, and orders that take it, for tests of reservations."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from clients.intake import IntakeClient
from clients.inventory.catalogue import advance_catalogue
from clients.persistence import PersistenceClient
from services.inventory.grants import read_grants, read_stores
from services.inventory.releaser import ReservationReleaser
from shared.domain.ids import id_prefix
from shared.domain.orders import Item, OrderRequest
from shared.domain.records import Put
from shared.domain.tables import RESERVATIONS, STOCK
from tests.support.intake import PATIENCE
from workers.handlers import Job


async def stock_items(client: PersistenceClient, counts: dict[tuple[str, str], int]) -> None:
    """Stores so many of each item, by store and item."""
    for (store, item), count in counts.items():
        put = Put(STOCK.name, {"store": store, "item": item, "count": count, "cause": "edit"})
        await client.transact([put, advance_catalogue()])


async def read_count(client: PersistenceClient, store: str, item: str) -> int:
    found = (await client.get_item(STOCK.name, {"store": store, "item": item})).item
    assert found is not None
    return int(found["count"])


async def read_held(client: PersistenceClient) -> dict[str, dict[str, str]]:
    """The orders that hold something, and from which store each product is that they or those beside them hold."""
    page = await client.query(RESERVATIONS.name, "by_time", page_size=1000)
    assert page.cursor is None
    return {
        order_id: read_stores(found.held.stores)
        for one in page.items
        if one.item is not None
        for order_id, found in read_grants(one.item).items()
    }


async def place_order(orders: IntakeClient, *products: Any, customer: str = "Ana") -> str:
    return (await orders.order({"cliente": customer, "productos": list(products), "direccion": "Mayor 1"})).id


async def ask_until(holds: Callable[[], Any]) -> None:
    """Asks a server again and again until its answer is true."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            # On a simulated loop time passes only while nobody asks.
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(releases: ReservationReleaser) -> AsyncIterator[None]:
    task = asyncio.create_task(releases.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hold_so_many(client: PersistenceClient, number: int) -> bool:
    return len(await read_held(client)) == number


def job(number: int, *products: str | Item, attempt: int = 1) -> Job:
    order = OrderRequest(customer="a", items=list(products), address="d")
    return Job(f"{id_prefix(1_700_000_000_000_000, 5)}{number:012x}", attempt, order)
