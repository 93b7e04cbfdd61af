"""Carts, checkouts and purchases on DynamoDB: the tests of the shop, and many buyers at several servers."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from clients.persistence import PersistenceClient
from clients.shop.carts import add_to_cart
from clients.shop.checkout import Checkout
from clients.shop.purchases import cancel_purchase
from services.persistence.persistence import Persistence, tables
from services.persistence.settings import PersistenceSettings
from shared.domain.errors import Conflict
from shared.stores.dynamodb.settings import DynamoSettings
from shared.stores.dynamodb.stores import dynamo_records
from tests.support.dynamodb import patient_tables
from tests.support.in_process import OPEN_FILES, serving
from tests.support.ports import hold_port

# The tests are those of the shop, over the fixture `records` of this module.
from tests.unit.suite.test_shop_checkout import (  # noqa: F401
    add_book,
    buy,
    check_interleaving,
    stock_of,
    test_a_cancelled_purchase_gives_its_stock_back_once,
    test_a_cart_has_limits,
    test_a_cart_is_bought_once_without_a_key,
    test_a_change_meets_the_cart_that_was_seen,
    test_a_guest_cart_is_merged_once,
    test_a_price_that_changes_during_the_checkout_is_seen,
    test_a_refused_checkout_leaves_no_trace,
    test_one_key_is_one_purchase,
    test_simultaneous_additions_all_count,
)

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

BUYERS, COPIES = 40, 25


async def start_persistence(
    stack: contextlib.AsyncExitStack, folder: Path, dynamo: DynamoSettings
) -> PersistenceClient:
    """Starts a server on these tables; returns a client of it."""
    settings = PersistenceSettings(
        tcp_persist_port=hold_port(stack), data_dir=str(folder), stage="dev", store="dynamodb"
    )
    limits = settings.build_limits(document_bytes=settings.max_transaction_bytes, open_files=OPEN_FILES)
    store = await stack.enter_async_context(dynamo_records(dynamo, tables(settings)))
    await stack.enter_async_context(serving(Persistence(settings, store, limits).serve))
    return await stack.enter_async_context(PersistenceClient("127.0.0.1", settings.tcp_persist_port))


async def list_stock_images(records: PersistenceClient) -> list[tuple[Any, Any]]:
    """The images of the stock before and after each of its changes, from the change feed."""
    found: list[tuple[Any, Any]] = []
    position = None
    while True:
        page = await records.changes(position)
        found += [(one.old and one.old.item, one.new and one.new.item) for one in page.changes if one.table == "Stock"]
        if page.position == position:
            return found
        position = page.position


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(dynamodb: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[PersistenceClient]]:
    """Four servers on the same tables."""
    dynamo = patient_tables(dynamodb)
    async with contextlib.AsyncExitStack() as stack:
        yield [await start_persistence(stack, tmp_path_factory.mktemp(name), dynamo) for name in "abcd"]


@pytest.fixture
def servers(running: list[PersistenceClient]) -> list[PersistenceClient]:
    """The same, seen by a tenant of each test's own."""
    tenant = uuid.uuid4().hex
    return [client.of(tenant) for client in running]


@pytest.fixture
def records(servers: list[PersistenceClient]) -> PersistenceClient:
    """The records of a shop on one of them."""
    return servers[0]


async def test_nothing_is_lost_or_sold_twice_on_dynamodb(records: PersistenceClient) -> None:
    await check_interleaving(records, seed=7, rounds=4)


async def test_many_buyers_at_four_servers_get_what_there_is(servers: list[PersistenceClient]) -> None:
    book = await add_book(servers[0], stock=COPIES)
    users = [f"u{number}" for number in range(BUYERS)]
    views = dict(zip(users, itertools.cycle(servers), strict=False))
    await asyncio.gather(*(add_to_cart(view, user, book, 1) for user, view in views.items()))
    outcomes = await asyncio.gather(*(buy(view, user) for user, view in views.items()), return_exceptions=True)
    sold = [one.purchase for one in outcomes if isinstance(one, Checkout)]
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert (len(sold), len(refused), await stock_of(servers[1], book)) == (COPIES, BUYERS - COPIES, 0)
    assert {one.details["cart"]["lines"][0]["left"] for one in refused} == {0}
    back = sold[:6]
    await asyncio.gather(
        *(cancel_purchase(view, one.user, one.purchase, "customer") for one in back for view in servers[:2])
    )
    assert await stock_of(servers[0], book) == len(back)
    # Movements are derived from these: each change is there once, with the purchase that made it.
    images = await list_stock_images(servers[0])
    levels = [*range(COPIES, -1, -1), *range(1, len(back) + 1)]
    assert [(old and old["count"], new["count"]) for old, new in images] == [
        (None, COPIES), *itertools.pairwise(levels)
    ]  # fmt: skip
    made = [new["reference"] for _, new in images[1:]]
    assert sorted(made) == sorted(one.purchase for one in [*sold, *back])
