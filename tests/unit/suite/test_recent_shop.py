"""Additions and checkouts that begin with what a gateway remembers, in one request, and what they do if it is old."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.errors import ConnectionLost
from clients.persistence import PersistenceClient
from clients.shop.books import change_book, create_book, delete_book, get_book
from clients.shop.carts import add_to_cart, load_cart
from clients.shop.checkout import Checkout, CheckoutRequest, check_out
from clients.shop.recent import RecentShop, RecentTenantShop
from shared.domain.carts import MAX_QUANTITY, Cart
from shared.domain.errors import Conflict, InvalidParams, NotFound, PreconditionFailed
from shared.domain.isbn import complete_isbn
from shared.domain.tenants import TenantRecord
from tests.support.in_process import Suite

SHOP = TenantRecord("main", "Books", tax_rates={"*": "4"})


class CountingClient(PersistenceClient):
    """A client that counts its requests, and can lose the answer to the next one."""

    requests = 0
    loses_answer = False

    async def _send_documents(self, documents: Any, *, safe: bool) -> list[bytes]:
        CountingClient.requests += 1
        lines = await super()._send_documents(documents, safe=safe)
        if self.loses_answer:
            CountingClient.loses_answer = False
            if not safe:
                raise ConnectionLost("the answer was lost")
            lines = await super()._send_documents(documents, safe=safe)
        return lines


@pytest.fixture
async def records(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CountingClient]:
    """A client of a persistence server."""
    monkeypatch.setattr(CountingClient, "requests", 0)
    monkeypatch.setattr(CountingClient, "loses_answer", False)
    await suite.start_persistence()
    async with CountingClient("127.0.0.1", suite.ports["tcp_persist_port"]) as client:
        yield client


@pytest.fixture
def recent(records: CountingClient) -> RecentTenantShop:
    """A gateway's memory."""
    return RecentShop(100).of("main", records)


async def add_book(records: PersistenceClient, number: int = 1, stock: int = 10) -> str:
    isbn = complete_isbn(f"978{number:09}")
    members = {"isbn": isbn, "title": f"Libro {number}", "author": "Ana", "category": "Novela", "price": 1000}
    return (await create_book(records, members, stock)).book.book


async def add(
    records: PersistenceClient, recent: RecentTenantShop, book: str, quantity: int = 1, seen: int | None = None
) -> Cart:
    cart = await add_to_cart(records, "ana", book, quantity, seen=seen, recent=recent)
    recent.keep_cart(cart)
    return cart


async def buy(records: PersistenceClient, recent: RecentTenantShop, **members: Any) -> Checkout:
    return await check_out(records, SHOP, "ana", CheckoutRequest("card", {"street": "Mayor 1"}, **members), recent)


async def test_a_known_book_is_added_and_bought_with_one_request_each(
    records: CountingClient, recent: RecentTenantShop
) -> None:
    books = [await add_book(records, number) for number in range(3)]
    for book in books:
        await add(records, recent, book)
    before = CountingClient.requests
    for book in books:
        await add(records, recent, book)
    assert CountingClient.requests - before == 3
    made = await buy(records, recent, key="k")
    assert CountingClient.requests - before == 4
    assert [(item.book_id, item.quantity) for item in made.purchase.items] == [(book, 2) for book in books]
    assert [(await get_book(records, book)).stock for book in books] == [8, 8, 8]
    assert (await load_cart(records, "ana")).lines == {}
    assert not (await buy(records, recent, key="k")).created


async def test_a_book_that_has_changed_is_bought_as_it_is_now(
    records: CountingClient, recent: RecentTenantShop
) -> None:
    book = await add_book(records)
    await add(records, recent, book)
    await change_book(records, book, {"price": 1200, "title": "Otro"})
    assert (await add(records, recent, book)).lines[book].quantity == 2
    await change_book(records, book, {"price": 1100, "title": "Nuevo"})
    (item,) = (await buy(records, recent, expected_total=2400)).purchase.items
    assert (item.title, item.unit_price) == ("Nuevo", 1100)
    await add(records, recent, book)
    await change_book(records, book, {"price": 1300})
    with pytest.raises(Conflict) as refused:
        await buy(records, recent, expected_total=1100)
    assert refused.value.details["cart"]["reason"] == "price"


async def test_what_is_wrong_is_told_as_it_is_now(records: CountingClient, recent: RecentTenantShop) -> None:
    book, gone = await add_book(records, stock=3), await add_book(records, 2)
    await add(records, recent, gone)
    await add(records, recent, book, 3)
    with pytest.raises(Conflict) as refused:
        await add(records, recent, book)
    assert (refused.value.details["cart"]["reason"], refused.value.details["cart"]["left"]) == ("out_of_stock", 3)
    with pytest.raises(InvalidParams):
        await add(records, recent, gone, MAX_QUANTITY)
    await change_book(records, book, {}, 1)
    await delete_book(records, gone)
    with pytest.raises(NotFound):
        await add(records, recent, gone)
    with pytest.raises(Conflict) as refused:
        await buy(records, recent)
    lines = refused.value.details["cart"]["lines"]
    assert [(line["book_id"], line["reason"]) for line in lines] == [(gone, "not_listed"), (book, "out_of_stock")]


async def test_two_gateways_change_one_cart(records: CountingClient, recent: RecentTenantShop) -> None:
    other = RecentShop(100).of("main", records)
    book, second = await add_book(records), await add_book(records, 2)
    for gateway in (recent, other, recent, other):
        seen = await add(records, gateway, book)
    assert seen.lines[book].quantity == 4
    latest = await add(records, other, second)
    with pytest.raises(PreconditionFailed):
        await add(records, recent, book, seen=seen.version)
    with pytest.raises(PreconditionFailed):
        await buy(records, recent, seen=seen.version)
    assert len((await buy(records, recent, seen=latest.version)).purchase.items) == 2


async def test_the_cart_that_another_gateway_has_bought_is_not_taken_for_the_next_one(
    records: CountingClient, recent: RecentTenantShop
) -> None:
    other = RecentShop(100).of("main", records)
    book, second = await add_book(records), await add_book(records, 2)
    await add(records, other, book)
    recent.keep_cart(await load_cart(records, "ana"))
    recent.keep_book(await get_book(records, book))
    first = await buy(records, other)
    await add(records, other, second)
    # Without a key, the version of the cart stands for one: that of the old cart would find the first purchase.
    made = await buy(records, recent)
    assert made.created
    assert made.purchase.purchase != first.purchase.purchase
    assert [item.book_id for item in made.purchase.items] == [second]


async def test_a_checkout_whose_answer_is_lost_has_made_its_purchase(
    records: CountingClient, recent: RecentTenantShop
) -> None:
    book = await add_book(records)
    await add(records, recent, book)
    CountingClient.loses_answer = True
    made = await buy(records, recent)
    assert made.created
    assert (await get_book(records, book)).stock == 9


async def test_a_memory_has_limits_and_keeps_the_newest(records: CountingClient) -> None:
    shop = RecentShop(4)
    recent = shop.of("main", records)
    books = [await add_book(records, number) for number in range(3)]
    carts = [await add(records, RecentShop(0).of("main", records), book) for book in books]
    for cart in carts:
        recent.keep_cart(cart)
    assert recent.find_cart("ana") == carts[2]
    recent.keep_cart(carts[0])
    assert recent.find_cart("ana") == carts[2]
    assert shop.of("other", records).find_cart("ana") is None
    recent.keep_book(await get_book(records, books[0]))
    assert recent.find_cart("ana") is None
    assert recent.find_book(books[0]) is not None
    recent.forget_book(books[0])
    assert recent.find_book(books[0]) is None


async def test_a_book_that_was_sold_out_is_read_first(records: CountingClient, recent: RecentTenantShop) -> None:
    book = await add_book(records, stock=2)
    cart = await add(records, recent, book, 2)
    await change_book(records, book, {}, 1)
    # The first transaction is refused; cart, book, stock and key are read after that, the key before as well.
    for requests in (6, 4):
        recent.keep_cart(cart)
        before = CountingClient.requests
        with pytest.raises(Conflict):
            await buy(records, recent)
        assert CountingClient.requests - before == requests
    recent.keep_cart(cart)
    await change_book(records, book, {}, 2)
    assert (await buy(records, recent)).created
