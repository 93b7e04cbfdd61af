"""Carts, checkouts and purchases of a shop over the persistence server, in this process."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.persistence import PersistenceClient
from clients.shop.books import change_book, create_book, delete_book, get_book
from clients.shop.carts import (
    add_to_cart,
    clear_cart,
    load_cart,
    merge_guest_cart,
    remove_from_cart,
    set_quantity,
)
from clients.shop.checkout import Checkout, CheckoutRequest, check_out
from clients.shop.purchases import (
    cancel_purchase,
    complete_purchase,
    get_purchase,
    iterate_pending,
    iterate_purchases,
    list_purchases,
)
from clients.shop.recent import RecentShop
from shared.domain.carts import MAX_LINES, guest_owner
from shared.domain.errors import ComandaError, Conflict, InvalidParams, NotFound, PreconditionFailed
from shared.domain.isbn import complete_isbn
from shared.domain.purchases import SHARDS
from shared.domain.records import Update
from shared.domain.tables import CARTS, STOCK
from shared.domain.tenants import TenantRecord
from tests.support.in_process import Suite

SHOP = TenantRecord("books", "Books", tax_rates={"*": "4"})
ADDRESS = {"street": "Mayor 1"}


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server."""
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


@pytest.fixture
def records(client: PersistenceClient) -> PersistenceClient:
    """The records of a shop."""
    return client.of("books")


async def add_book(records: PersistenceClient, number: int = 1, stock: int = 10, price: int = 1299) -> str:
    isbn = complete_isbn(f"978{number:09}")
    members = {"isbn": isbn, "title": f"Libro {number}", "author": "Ana Paz", "category": "Novela", "price": price}
    return (await create_book(records, members, stock)).book.book


async def buy(records: PersistenceClient, user: str = "ana", key: str | None = None, **members: Any) -> Checkout:
    request = CheckoutRequest("card", members.pop("address", ADDRESS), key=key, **members)
    return await check_out(records, SHOP, user, request)


async def stock_of(records: PersistenceClient, book: str) -> int:
    return (await get_book(records, book)).stock


def quantities(cart: Any) -> dict[str, int]:
    return {book: line.quantity for book, line in cart.lines.items()}


async def test_simultaneous_additions_all_count(records: PersistenceClient) -> None:
    books = [await add_book(records, number) for number in range(10)]
    await asyncio.gather(*(add_to_cart(records, "ana", book, 1) for book in books))
    await asyncio.gather(*(add_to_cart(records, "ana", books[0], 1) for _ in range(4)))
    cart = await load_cart(records, "ana")
    assert quantities(cart) == {book: 5 if book == books[0] else 1 for book in books}
    await asyncio.gather(*(remove_from_cart(records, "ana", book) for book in books[:5]))
    assert list((await load_cart(records, "ana")).lines) == books[5:]
    stored = await records.get_item(CARTS.name, {"user": "ana"})
    assert stored.item is not None
    assert stored.item["lines"] == 5
    await clear_cart(records, "ana")
    assert (await load_cart(records, "ana")).lines == {}


async def test_a_cart_has_limits(records: PersistenceClient) -> None:
    book = await add_book(records, stock=3)
    with pytest.raises(Conflict) as refused:
        await add_to_cart(records, "ana", book, 4)
    assert (refused.value.details["cart"]["reason"], refused.value.details["cart"]["left"]) == ("out_of_stock", 3)
    await add_to_cart(records, "ana", book, 2)
    with pytest.raises(Conflict):
        await add_to_cart(records, "ana", book, 2)
    with pytest.raises(NotFound):
        await add_to_cart(records, "ana", "none", 1)
    others = [await add_book(records, number) for number in range(2, MAX_LINES + 2)]
    outcomes = await asyncio.gather(*(add_to_cart(records, "ana", one, 1) for one in others), return_exceptions=True)
    (refusal,) = [one for one in outcomes if isinstance(one, BaseException)]
    assert isinstance(refusal, InvalidParams)
    assert str(MAX_LINES) in refusal.message
    assert len((await load_cart(records, "ana")).lines) == MAX_LINES
    # A checkout of a full cart is one transaction.
    assert len((await buy(records)).purchase.items) == MAX_LINES


async def test_a_change_meets_the_cart_that_was_seen(records: PersistenceClient) -> None:
    book, other = await add_book(records), await add_book(records, 2)
    seen = (await add_to_cart(records, "ana", book, 1)).version
    cart = await set_quantity(records, "ana", other, 2, seen=seen)
    assert quantities(cart) == {book: 1, other: 2}
    for change in (
        add_to_cart(records, "ana", book, 1, seen=seen),
        remove_from_cart(records, "ana", book, seen=seen),
        clear_cart(records, "ana", seen=seen),
        buy(records, seen=seen),
    ):
        with pytest.raises(PreconditionFailed):
            await change
    assert await load_cart(records, "ana") == cart


async def test_a_guest_cart_is_merged_once(records: PersistenceClient) -> None:
    books = [await add_book(records, number) for number in range(3)]
    guest = guest_owner("0" * 64)
    for owner, book, quantity in ((guest, 0, 1), (guest, 1, 2), ("ana", 1, 1), ("ana", 2, 1)):
        await add_to_cart(records, owner, books[book], quantity)
    stored = await records.get_item(CARTS.name, {"user": guest})
    assert stored.item is not None
    assert stored.item["expires"] > 0
    merges = await asyncio.gather(*(merge_guest_cart(records, guest, "ana") for _ in range(5)))
    assert sorted(one.merged for one in merges) == [0, 0, 0, 0, 2]
    cart = await load_cart(records, "ana")
    assert quantities(cart) == {books[0]: 1, books[1]: 3, books[2]: 1}
    assert (await load_cart(records, guest)).version == 0
    stored = await records.get_item(CARTS.name, {"user": "ana"})
    assert stored.item is not None
    assert (stored.item["lines"], "expires" in stored.item) == (3, False)


async def test_one_key_is_one_purchase(records: PersistenceClient) -> None:
    book = await add_book(records)
    await add_to_cart(records, "ana", book, 3)
    await add_to_cart(records, "eva", book, 1)
    made = await asyncio.gather(*(buy(records, key="k") for _ in range(20)))
    assert sorted(one.created for one in made) == [False] * 19 + [True]
    (purchase,) = {one.purchase.purchase for one in made}
    assert await stock_of(records, book) == 7
    with pytest.raises(InvalidParams) as other:
        await buy(records, key="k", address={"street": "Menor 2"})
    assert other.value.details["cart"]["purchase_id"] == purchase
    assert (await buy(records, "eva", key="k")).purchase.purchase != purchase
    with pytest.raises(Conflict, match="empty"):
        await buy(records, key="another")
    found = await get_purchase(records, "ana", purchase)
    assert (found.total, found.net, found.tax, found.status) == (3897, 3747, 150, "pending")
    (movement,) = [found.items[0]]
    assert (movement.title, movement.quantity, movement.subtotal) == ("Libro 1", 3, 3897)
    stored = await records.get_item(STOCK.name, {"store": "Main", "item": book})
    assert stored.item is not None
    assert stored.item["cause"] == "order"


async def test_a_cart_is_bought_once_without_a_key(records: PersistenceClient) -> None:
    book = await add_book(records)
    cart = await add_to_cart(records, "ana", book, 1)
    first, second = await asyncio.gather(*(buy(records, seen=cart.version) for _ in range(2)))
    assert first.purchase == second.purchase
    # A lost answer: the version of the cart finds the purchase.
    assert await buy(records, seen=cart.version) == Checkout(first.purchase, created=False)
    with pytest.raises(Conflict, match="empty"):
        await buy(records)
    # The version of the next cart is another one.
    again = await add_to_cart(records, "ana", book, 1)
    assert again.version > cart.version
    assert (await buy(records)).created


async def test_a_refused_checkout_leaves_no_trace(records: PersistenceClient) -> None:
    book, other = await add_book(records), await add_book(records, 2)
    await add_to_cart(records, "ana", book, 2)
    cart = await add_to_cart(records, "ana", other, 1)
    await change_book(records, book, {"price": 1399})
    with pytest.raises(Conflict) as refused:
        await buy(records, key="k", expected_total=3897)
    assert (refused.value.details["cart"]["reason"], refused.value.details["cart"]["total_amount"]) == (
        "price",
        Decimal("40.97"),
    )
    lines = refused.value.details["cart"]["lines"]
    assert [(str(line["unit_price"]), str(line["price_when_added"])) for line in lines] == [
        ("13.99", "12.99"),
        ("12.99", "12.99"),
    ]
    await change_book(records, book, {}, 1)
    await delete_book(records, other)
    with pytest.raises(Conflict) as refused:
        await buy(records, key="k", expected_total=3897)
    found = [(line["book_id"], line["reason"], line["left"]) for line in refused.value.details["cart"]["lines"]]
    assert found == [(book, "out_of_stock", 1), (other, "not_listed", 10)]
    assert await load_cart(records, "ana") == cart
    assert await stock_of(records, book) == 1
    assert await list_purchases(records, "ana", limit=10) == []
    await remove_from_cart(records, "ana", other)
    await set_quantity(records, "ana", book, 1)
    await change_book(records, book, {"price": 1199})
    bought = await buy(records, key="k", expected_total=3897)
    assert (bought.created, bought.purchase.total) == (True, 1199)


async def test_a_price_that_changes_during_the_checkout_is_seen(
    records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await add_book(records)
    await add_to_cart(records, "ana", book, 1)
    transact = PersistenceClient.transact
    raises = iter([1399, 1499])

    async def change_first(client: PersistenceClient, actions: Any, **options: Any) -> Any:
        # The price goes up between the reads and the transaction.
        if any(action.table == "Checkouts" for action in actions) and (price := next(raises, None)) is not None:
            await transact(client, [change_price(book, price)])
        return await transact(client, actions, **options)

    monkeypatch.setattr(PersistenceClient, "transact", change_first)
    with pytest.raises(Conflict, match="higher"):
        await buy(records, expected_total=1299)
    assert (await buy(records, expected_total=1500)).purchase.total == 1499


def change_price(book: str, price: int) -> Any:
    return Update("Books", {"book": book}, set={"price": price})


async def test_a_hundred_copies_are_sold_to_a_hundred_of_many_buyers(records: PersistenceClient) -> None:
    book = await add_book(records, stock=20)
    buyers = [f"u{number}" for number in range(60)]
    for buyer in buyers:
        await add_to_cart(records, buyer, book, 1)
    outcomes = await asyncio.gather(*(buy(records, buyer) for buyer in buyers), return_exceptions=True)
    sold = [one for one in outcomes if isinstance(one, Checkout)]
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert (len(sold), len(refused), await stock_of(records, book)) == (20, 40, 0)
    assert {one.details["cart"]["lines"][0]["left"] for one in refused if one.details} == {0}


async def test_a_cancelled_purchase_gives_its_stock_back_once(records: PersistenceClient) -> None:
    book, gone = await add_book(records), await add_book(records, 2)
    for one in (book, gone):
        await add_to_cart(records, "ana", one, 3)
    purchase = (await buy(records)).purchase
    await records.delete_item(STOCK.name, {"store": "Main", "item": gone})
    cancelled = await asyncio.gather(
        *(cancel_purchase(records, "ana", purchase.purchase, "customer") for _ in range(5))
    )
    assert {one.status for one in cancelled} == {"cancelled"}
    assert (await stock_of(records, book), await stock_of(records, gone)) == (10, 3)
    assert not await complete_purchase(records, purchase)
    await add_to_cart(records, "ana", book, 1)
    second = (await buy(records)).purchase
    assert await complete_purchase(records, second)
    assert await complete_purchase(records, second)
    with pytest.raises(Conflict):
        await cancel_purchase(records, "ana", second.purchase, "customer")
    for user, one in (("eva", second.purchase), ("ana", "made up"), ("ana", "x" * 5000)):
        with pytest.raises(NotFound) as missing:
            await cancel_purchase(records, user, one, "customer")
        assert missing.value.message == "there is no such purchase"
    statuses = [one.status for one in await list_purchases(records, "ana", limit=10)]
    assert statuses == ["completed", "cancelled"]
    assert [one.purchase async for one in iterate_purchases(records, "ana", "completed")] == [second.purchase]
    for shard in range(SHARDS):
        assert [one async for one in iterate_pending(records, f"{shard:x}")] == []


async def test_a_purchase_keeps_the_title_and_the_price_of_its_day(records: PersistenceClient) -> None:
    book = await add_book(records)
    await add_to_cart(records, "ana", book, 1)
    purchase = (await buy(records)).purchase
    await change_book(records, book, {"title": "Otro", "price": 1})
    await delete_book(records, book)
    found = await get_purchase(records, "ana", purchase.purchase)
    assert (found.items[0].title, found.items[0].unit_price) == ("Libro 1", 1299)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_or_sold_twice_in_any_interleaving(records: PersistenceClient, seed: int) -> None:
    await check_interleaving(records, seed)


async def check_interleaving(records: PersistenceClient, seed: int, rounds: int = 10) -> None:
    """Carts, checkouts, cancellations and completions of three customers at once; the sums hold after each round."""
    choose = random.Random(seed)
    start = 12
    books = [await add_book(records, number, start) for number in range(3)]
    users = ["ana", "eva", "leo"]
    keys: dict[tuple[str, str], set[str]] = {}
    # One client that reads first, and two gateways that do not see what the other one does.
    gateways = [None, RecentShop(100).of("books", records), RecentShop(4).of("books", records)]

    async def order(user: str) -> None:
        key, recent = choose.choice("abcdef"), choose.choice(gateways)
        made = await check_out(records, SHOP, user, CheckoutRequest("card", ADDRESS, key=key), recent)
        keys.setdefault((user, key), set()).add(made.purchase.purchase)

    async def add(user: str, book: str, quantity: int) -> None:
        recent = choose.choice(gateways)
        cart = await add_to_cart(records, user, book, quantity, recent=recent)
        if recent is not None:
            recent.keep_cart(cart)

    async def end(user: str, step: Callable[[Any], Awaitable[Any]]) -> None:
        if found := await list_purchases(records, user, limit=5):
            await step(choose.choice(found))

    def draw_step() -> Awaitable[Any]:
        user, book = choose.choice(users), choose.choice(books)
        steps: list[Callable[[], Awaitable[Any]]] = [
            lambda: add(user, book, choose.randint(1, 3)),
            lambda: add(user, book, 1),
            lambda: set_quantity(records, user, book, choose.randint(1, 5)),
            lambda: remove_from_cart(records, user, book),
            lambda: order(user),
            lambda: order(user),
            lambda: end(user, lambda one: cancel_purchase(records, user, one.purchase, "expired")),
            lambda: end(user, lambda one: complete_purchase(records, one)),
        ]
        return choose.choice(steps)()

    for _ in range(rounds):
        outcomes = await asyncio.gather(*(draw_step() for _ in range(15)), return_exceptions=True)
        assert all(isinstance(one, ComandaError) for one in outcomes if isinstance(one, BaseException)), outcomes
        sold = dict.fromkeys(books, 0)
        for user in users:
            async for purchase in iterate_purchases(records, user):
                for item in purchase.items:
                    sold[item.book_id] += 0 if purchase.status == "cancelled" else item.quantity
        for book in books:
            assert await stock_of(records, book) + sold[book] == start
    assert keys
    assert all(len(purchases) == 1 for purchases in keys.values())
