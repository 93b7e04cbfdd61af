"""A shop that is filled for a look."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.accounts.accounts import find_account
from clients.accounts.tenants import add_tenant
from clients.errors import ConnectionLost
from clients.persistence import PersistenceClient
from clients.shop.books import count_books, get_book_by_isbn
from clients.shop.demo_books import complete_sample
from clients.shop.purchases import list_purchases
from shared.domain.tables import ACCOUNTS, BOOKS, CARTS, FAVORITES, PURCHASES, STOCK, WISHES
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli

TABLES = (ACCOUNTS, BOOKS, CARTS, FAVORITES, PURCHASES, STOCK, WISHES)
SAMPLE = "isbn,authors,title\n" + "".join(f",Jane Austen,Book {number}\n" for number in range(30))


@pytest.fixture(autouse=True)
async def records(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """The records of the shop of tenant `main`."""
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


def count_items(suite: Suite) -> Counter[str]:
    return Counter(place[0] for place in suite.records.rows if place[0] in {table.name for table in TABLES})


async def test_the_shop_that_comes_along_is_filled_once(
    cli: InProcessCli, records: PersistenceClient, suite: Suite
) -> None:
    status, (made,), _ = await cli.run("shop", "demo")
    assert (status, made["books"], made["customers"], made["favorites"], made["wishes"]) == (0, 200, 6, 30, 24)
    assert made["purchases"] >= 20
    assert made["link"].startswith("http://localhost:5000/shop/password#token=pr.main.")
    assert await count_books(records) == 200
    hunger = await get_book_by_isbn(records, "0439023483")
    assert (hunger.book.category, hunger.book.price is not None) == ("Juvenil", True)
    ana = await find_account(records, made["first_customer"])
    assert ana is not None
    assert len(await list_purchases(records, ana.user, limit=10)) >= 3
    before, feed = count_items(suite), len(suite.records.feed)
    assert before["Carts"] == 0
    status, (again,), _ = await cli.run("shop", "demo")
    assert (status, set(again.values())) == (0, {"main", 0})
    assert count_items(suite) == before
    assert len(suite.records.feed) == feed
    status, _, told = await cli.show_on_terminal("shop", "demo")
    assert (status, "user reset ana@example.com --tenant main" in told) == (0, True)


async def test_one_seed_makes_one_shop_and_another_seed_another(cli: InProcessCli, records: PersistenceClient) -> None:
    bought = []
    for tenant, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        await add_tenant(records, tenant, {"name": tenant})
        status, (made,), _ = await cli.run("shop", "demo", "-", "--tenant", tenant, "--seed", seed, stdin=SAMPLE)
        assert status == 0, made
        own = records.of(tenant)
        ana = await find_account(own, "ana@example.com")
        assert ana is not None
        found = await list_purchases(own, ana.user, limit=10, descending=False)
        bought.append([[(item.title, item.quantity, item.unit_price) for item in one.items] for one in found])
    assert bought[0] == bought[1] != bought[2]


async def test_a_run_that_was_interrupted_is_completed_by_the_next(
    cli: InProcessCli, records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact, calls = PersistenceClient.transact, 0

    async def cut_off(client: PersistenceClient, *given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 25:
            raise ConnectionLost("cut off")
        return await transact(client, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(PersistenceClient, "transact", cut_off)
        assert (await cli.run("shop", "demo", "-", stdin=SAMPLE))[0] == 1
    status, (made,), _ = await cli.run("shop", "demo", "-", stdin=SAMPLE)
    assert (status, made["books"], made["customers"] < 6) == (0, 0, True)
    ana = await find_account(records, "ana@example.com")
    assert ana is not None
    assert len(await list_purchases(records, ana.user, limit=10)) == 4


async def test_a_sample_without_books_is_refused(cli: InProcessCli) -> None:
    for text, status in (("", 1), ("name\n1\n", 1), ("title\n\n", 1), ("\xff", 1)):
        assert (await cli.run("shop", "demo", "-", stdin=text))[0] == status, text
    assert (await cli.run("shop", "demo", "-", "--tenant", "nobody", stdin=SAMPLE))[0] == 1


async def test_prices_of_a_currency_without_decimals_are_whole() -> None:
    prices = {line.rsplit(",", 2)[1] for line in complete_sample(SAMPLE, 1, decimals=False).splitlines()[1:]}
    assert all(price.isdigit() for price in prices)
    assert complete_sample(SAMPLE, 1, decimals=True) == complete_sample(SAMPLE, 1, decimals=True)
