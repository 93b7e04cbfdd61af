"""Notices about books of wishlists, in this process: the shop's service follows the records, the gateway shows them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from clients.persistence import PersistenceClient
from clients.shop.carts import add_to_cart
from clients.shop.checkout import CheckoutRequest, check_out
from clients.shop.lists import add_wish
from clients.shop.notices import announce_offer, list_notices, load_position
from clients.shop.purchases import cancel_purchase, complete_purchase
from services.shop.user_notifier import UserNotifier
from shared.domain.notices import MAX_NOTICES, Offer
from shared.domain.tenants import TenantRecord
from shared.runtime.clock import iso_now
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.members import Member, add_member
from tests.support.simulation import pass_time_until
from tests.unit.suite.test_gateway_books import BOOKS, add

NOTICES = "/api/v1/users/notices"


@pytest.fixture
async def ana(suite: Suite, http: InProcessHttp) -> Member:
    """A customer."""
    async with suite.persistence() as records:
        return await add_member(records, "main", "customer")


async def wish(http: InProcessHttp, member: Member, book: str) -> None:
    answer = await http.ask("POST", f"/api/v1/users/wishlist/{book}", headers=member.token)
    assert answer.status == 200


async def notices(http: InProcessHttp, member: Member) -> list[Any]:
    shown: list[Any] = (await http.ask("GET", NOTICES, headers=member.token)).json["data"]
    return shown


async def follow(records: PersistenceClient) -> None:
    """Follows the feed from the stored position to its end."""
    notifier = UserNotifier(records)
    while await notifier.process_page():
        pass


async def test_users_hear_of_a_lower_price_and_of_new_copies_once(
    suite: Suite, http: InProcessHttp, ana: Member
) -> None:
    await suite.start_shop()
    book = (await add(http, price=20, stock_quantity=0)).json["book"]["book_id"]
    await wish(http, ana, book)
    await http.ask("PUT", f"{BOOKS}/{book}", {"price": 15})
    await http.ask("PUT", f"{BOOKS}/{book}", {"stock_quantity": 3})

    async def has_two() -> Any:
        found = await notices(http, ana)
        return found if len(found) >= 2 else None

    again, cheaper = await pass_time_until(has_two)
    assert (again["kind"], again["price"]) == ("back_in_stock", None)
    assert (cheaper["kind"], cheaper["price"], cheaper["price_before"]) == ("cheaper", 15, 20)
    assert {one["book_id"] for one in (again, cheaper)} == {book}
    async with suite.persistence() as records:
        # As after a kill before the position was stored.
        await records.delete_item("ShopState", {"name": "notice_position"})
        await follow(records)
        assert await notices(http, ana) == [again, cheaper]
    assert (await http.ask("DELETE", f"{NOTICES}/{again['notice_id']}", headers=ana.token)).status == 200
    assert await notices(http, ana) == [cheaper]


async def test_an_offer_that_is_over_or_older_than_the_wish_makes_no_notice(
    suite: Suite, http: InProcessHttp, ana: Member
) -> None:
    books: Sequence[str] = [(await add(http, number, price=20)).json["book"]["book_id"] for number in range(3)]
    await http.ask("PUT", f"{BOOKS}/{books[0]}", {"price": 15})
    for book in books:
        await wish(http, ana, book)
    for price in (15, 30):
        await http.ask("PUT", f"{BOOKS}/{books[1]}", {"price": price})
    await http.ask("PUT", f"{BOOKS}/{books[2]}", {"price": 15})
    await http.ask("DELETE", f"{BOOKS}/{books[2]}")
    async with suite.persistence() as records:
        await follow(records)
        assert await notices(http, ana) == []
        await http.ask("PUT", f"{BOOKS}/{books[1]}", {"price": 10})
        await follow(records)
        assert [one["price"] for one in await notices(http, ana)] == [10]
        assert await load_position(records) is not None


async def test_a_user_has_a_bounded_number_of_notices(suite: Suite, http: InProcessHttp) -> None:
    book = (await add(http, price=20)).json["book"]["book_id"]
    async with suite.persistence() as records:
        for user in ("ana", "leo"):
            await add_wish(records, user, book, 1)
        for _ in range(MAX_NOTICES + 3):
            last = iso_now()
            await announce_offer(records, Offer("back_in_stock", book, last))
            await asyncio.sleep(0.001)
        for user in ("ana", "leo"):
            assert len(await list_notices(records, user)) == MAX_NOTICES
            page = await records.query("Notices", partition=user, page_size=1000)
            assert len(page.items) == MAX_NOTICES
            assert (await list_notices(records, user))[0].at == last


async def test_the_end_of_a_purchase_is_announced_once_to_its_customer(
    suite: Suite, http: InProcessHttp, ana: Member
) -> None:
    book = (await add(http, price=20)).json["book"]["book_id"]
    async with suite.persistence() as records:
        made = []
        for _ in range(2):
            await add_to_cart(records, ana.user, book, 1)
            request = CheckoutRequest("card", {"street": "Mayor 1"})
            made.append((await check_out(records, TenantRecord("main", "Main"), ana.user, request)).purchase)
        await complete_purchase(records, made[0])
        await cancel_purchase(records, ana.user, made[1].purchase, "expired")
        await follow(records)
        found = await notices(http, ana)
        assert [(one["kind"], one["purchase_id"], one["reason"]) for one in found] == [
            ("purchase_cancelled", made[1].purchase, "expired"),
            ("purchase_completed", made[0].purchase, None),
        ]
        await records.delete_item("ShopState", {"name": "notice_position"})
        await follow(records)
        assert await notices(http, ana) == found
