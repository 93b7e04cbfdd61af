"""150 customers of four persistence servers on DynamoDB who want one of a hundred copies at the same moment."""

import asyncio
import contextlib
import os
import time
from typing import NamedTuple

from clients.persistence import PersistenceClient
from clients.shop.books import get_book
from clients.shop.carts import add_to_cart
from clients.shop.checkout import CheckoutRequest, check_out
from shared.domain.errors import Conflict
from shared.domain.tenants import TenantRecord
from tests.benchmarks.shop import DevPersistence, fill_shop, make_book
from tests.support.dynamodb import CREDENTIALS, dynamodb_endpoint, own_tables, settings_of

_CUSTOMERS = 150
_COPIES = 100
_SERVERS = 4
_SHOP = TenantRecord("main", "Main")


class DynamoRushFigures(NamedTuple):
    """Rounds of what was measured. In each, exactly as many were sold as there were, and all others were refused."""

    p50_ms: list[float]
    slowest_ms: list[float]


class _DynamoPersistence(DevPersistence):
    """On tables of DynamoDB that several servers share."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__()
        self._settings = settings

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self._settings}


def dynamodb_rush(rounds: int) -> DynamoRushFigures:
    """Measures it. Raises RuntimeError if another number was sold."""
    found = DynamoRushFigures([], [])
    os.environ.update({name: os.environ.get(name, value) for name, value in CREDENTIALS.items()})
    with dynamodb_endpoint() as endpoint:
        for _ in range(rounds):
            settings = settings_of(own_tables(endpoint))
            with contextlib.ExitStack() as stack:
                # The first one makes the tables.
                servers = [stack.enter_context(_DynamoPersistence(settings).running()) for _ in range(_SERVERS)]
                waits = asyncio.run(_measure([server.port for server in servers]))
            found.p50_ms.append(waits[len(waits) // 2] * 1000)
            found.slowest_ms.append(waits[-1] * 1000)
    return found


async def _measure(ports: list[int]) -> list[float]:
    """Returns the times of all checkouts in ascending order, in seconds."""
    book = make_book(1)._replace(stock=_COPIES)
    await fill_shop(ports[0], [book])
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(PersistenceClient(port=port)) for port in ports]
        customers = {f"customer-{number}": servers[number % _SERVERS] for number in range(_CUSTOMERS)}
        await asyncio.gather(*(add_to_cart(server, name, book.book.book, 1) for name, server in customers.items()))
        began = time.perf_counter()

        async def buy(name: str, server: PersistenceClient) -> tuple[bool, float]:
            with contextlib.suppress(Conflict):
                await check_out(server, _SHOP, name, CheckoutRequest("card", {"street": "Mayor 1"}))
                return True, time.perf_counter() - began
            return False, time.perf_counter() - began

        answers = await asyncio.gather(*(buy(name, server) for name, server in customers.items()))
        sold, left = sum(bought for bought, _ in answers), (await get_book(servers[0], book.book.book)).stock
    if (sold, left) != (_COPIES, 0):
        raise RuntimeError(f"{sold} of {_COPIES} copies were sold, and {left} are left")
    return sorted(seconds for _, seconds in answers)
