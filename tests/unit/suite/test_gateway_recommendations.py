"""Recommendations over HTTP, in this process: from purchases, then similar, of a category, and popular ones."""

import asyncio
from typing import Any

import pytest

from clients.shop.purchases import cancel_purchase
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.members import Member, add_member
from tests.support.simulation import pass_time_until
from tests.unit.suite.test_gateway_books import BOOKS, add
from tests.unit.suite.test_gateway_search import found

BODY = {"payment_method": "card", "shipping_address": {"street": "Mayor 1"}}


class Customers:
    """A shop of ten books, and those who buy them."""

    def __init__(self, suite: Suite, http: InProcessHttp, books: list[str]) -> None:
        self.suite = suite
        self.http = http
        self.books = books

    async def join(self, role: Any) -> Member:
        async with self.suite.persistence() as records:
            return await add_member(records, "main", role)

    async def buy(self, member: Member, *books: int) -> str:
        for book in books:
            body = {"book_id": self.books[book], "quantity": 1}
            reply = await self.http.ask("POST", "/api/v1/cart/add", body, headers=member.token)
            assert reply.status == 200, reply.body
        made = await self.http.ask("POST", "/api/v1/purchases/checkout", BODY, headers=member.token)
        assert made.status == 201, made.body
        return str(made.json["purchase_id"])

    async def recommend(self, path: str, member: Member | None = None) -> list[tuple[int, str]]:
        """Returns the numbers of the books, and the reasons."""
        reply = await self.http.ask("GET", f"{BOOKS}/{path}", headers={} if member is None else member.token)
        assert reply.status == 200, reply.body
        return [(self.books.index(one["book"]["book_id"]), one["reason"]) for one in reply.json["recommendations"]]


@pytest.fixture
async def customers(suite: Suite) -> Customers:
    await suite.start_persistence()
    await suite.start_shop()
    http = InProcessHttp(await suite.start_gateway())
    await pass_time_until(lambda: suite.books.position("main"))
    books = []
    for number in range(10):
        category = "Arte" if number > 5 else "Novela"
        reply = await add(http, number, title=f"Libro w{number}", author=f"A{number}", category=category)
        books.append(reply.json["book_id"])
    await found(http, "q=libro", 10)
    return Customers(suite, http, books)


async def test_what_is_bought_together_comes_first_and_what_cannot_be_bought_never(customers: Customers) -> None:
    ana, eva = await customers.join("customer"), await customers.join("viewer")
    await customers.buy(ana, 0, 1)
    await customers.buy(ana, 0, 1)
    cancelled = await customers.buy(ana, 0, 2)
    await customers.buy(eva, 5)

    async def look() -> Any:
        related = await customers.recommend(f"{customers.books[0]}/related?limit=3")
        return related if related[0] == (1, "bought_together") else None

    related = await pass_time_until(look)
    assert len({number for number, _ in related}) == 3
    # A cancelled purchase counts back.
    async with customers.suite.persistence() as records:
        await cancel_purchase(records, ana.user, cancelled, "customer")

    async def is_counted_back() -> bool:
        return (2, "bought_together") not in await customers.recommend(f"{customers.books[0]}/related")

    await pass_time_until(is_counted_back)
    await customers.http.ask(
        "POST", "/api/v1/cart/add", {"book_id": customers.books[0], "quantity": 1}, headers=eva.token
    )
    shown = await customers.recommend("recommendations/me", eva)
    assert shown[0] == (1, "bought_together")
    assert not {0, 5} & {number for number, _ in shown}
    assert await customers.recommend(f"recommendations/{eva.user}", eva) == shown
    await customers.http.ask("PUT", f"{BOOKS}/{customers.books[1]}", {"stock_quantity": 0})
    assert 1 not in {number for number, _ in await customers.recommend("recommendations/me", eva)}


async def test_somebody_new_gets_preferred_categories_then_popular_books(customers: Customers) -> None:
    eva = await customers.join("customer")
    preferences = {"categories": ["Arte"], "language": "es"}
    await customers.http.ask("PUT", "/api/v1/users/preferences", preferences, headers=eva.token)
    shown = await customers.recommend("recommendations/me?limit=7", eva)
    assert [reason for _, reason in shown] == ["category"] * 4 + ["popular"] * 3
    assert {number for number, reason in shown if reason == "category"} == {6, 7, 8, 9}


async def test_what_sells_is_popular_and_proposals_are_kept_for_a_minute(customers: Customers) -> None:
    ana, eva = await customers.join("customer"), await customers.join("viewer")
    await customers.buy(ana, 7)

    async def look() -> Any:
        shown = await customers.recommend("recommendations/me?limit=3", eva)
        return shown[0] == (7, "popular")

    await pass_time_until(look)
    for _ in range(2):
        await customers.buy(ana, 4)
    assert await look()
    # A longer list is proposed anew.
    assert len(await customers.recommend("recommendations/me?limit=9", eva)) == 9
    await asyncio.sleep(61)
    assert (await customers.recommend("recommendations/me?limit=3", eva))[:2] == [(4, "popular"), (7, "popular")]
    # What is in the cart is left out at once, and others take its place.
    body = {"book_id": customers.books[4], "quantity": 1}
    await customers.http.ask("POST", "/api/v1/cart/add", body, headers=eva.token)
    shown = await customers.recommend("recommendations/me?limit=3", eva)
    assert (len(shown), shown[0]) == (3, (7, "popular"))


async def test_recommendations_of_others_are_not_found(customers: Customers) -> None:
    eva, other = await customers.join("customer"), await customers.join("viewer")
    for user in (other.user, "nobody"):
        reply = await customers.http.ask("GET", f"{BOOKS}/recommendations/{user}", headers=eva.token)
        assert (reply.status, reply.problem["error"]) == (404, "not_found")
    assert (await customers.http.get(f"{BOOKS}/nothing/related")).status == 404
