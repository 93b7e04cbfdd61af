"""The events of purchases: for their customers one by one, for operators all, and in the statistics."""

from typing import Any

import pytest

from clients.accounts.tenants import add_tenant
from clients.persistence import PersistenceClient
from clients.shop.books import create_book
from clients.shop.carts import add_to_cart
from clients.shop.checkout import CheckoutRequest, check_out
from clients.shop.purchases import cancel_purchase, complete_purchase, record_order
from shared.domain.accounts import Role
from shared.domain.books import MAIN_STORE
from shared.domain.isbn import complete_isbn
from shared.domain.purchases import Purchase
from shared.domain.tenants import TenantRecord
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.members import add_member
from tests.support.simulation import pass_time_until

SHOP = TenantRecord("main", "Main", currency="EUR")


@pytest.fixture
async def http(suite: Suite) -> InProcessHttp:
    await suite.start_persistence()
    await suite.start_distributed()
    return InProcessHttp(await suite.start_gateway(stage="test"))


async def add_book(records: PersistenceClient) -> str:
    members = {"isbn": complete_isbn("978000000001"), "title": "T", "author": "A", "price": 1290}
    return (await create_book(records, members, 10)).book.book


async def buy(records: PersistenceClient, user: str, book: str) -> Purchase:
    await add_to_cart(records, user, book, 2)
    return (await check_out(records, SHOP, user, CheckoutRequest("card", {"street": "Mayor 1"}))).purchase


async def test_a_customer_follows_one_purchase_and_no_other(suite: Suite, http: InProcessHttp) -> None:
    async with suite.persistence() as records:
        ana, eva = await add_member(records, "main", "customer"), await add_member(records, "main", "staff")
        book = await add_book(records)
        purchase = await buy(records, ana.user, book)
        path = f"/api/v1/purchases/{purchase.purchase}/events"
        for stranger in ({}, eva.token):
            reply = await http.ask("GET", path, headers=stranger)
            assert reply.status == (404 if stranger else 401)
        async with http.follow(path, **ana.token) as events:
            (state,) = await events.next("purchase.state")
            assert (state["purchase"]["status"], [one["step"] for one in state["purchase"]["steps"]]) == (
                "pending",
                ["placed"],
            )
            others = [await buy(records, eva.user, book), await buy(records, ana.user, book)]
            for other in others:
                await cancel_purchase(records, other.user, other.purchase, "customer")
            assert await record_order(records, purchase, "o1")
            assert await complete_purchase(records, purchase)
            # It is in the state already, and its event may come later.
            seen = [await events.read() for _ in range(3)]
            ordered, completed = [one for one in seen if one is not None and one["event"] != "purchase.placed"]
            assert (ordered["event"], completed["event"]) == ("purchase.ordered", "purchase.completed")
            assert {ordered["id"], completed["id"]} == {purchase.purchase}
            assert (ordered["order"], completed["status"], completed["total_amount"], completed["currency"]) == (
                "o1",
                "completed",
                25.8,
                "EUR",
            )
        shown = (await http.ask("GET", f"/api/v1/purchases/{purchase.purchase}", headers=ana.token)).json
        assert [one["step"] for one in shown["steps"]] == ["placed", "ordered", "completed"]
        async with http.follow(path, **ana.token) as again:
            (state,) = await again.next("purchase.state")
            assert state["purchase"]["status"] == "completed"


async def test_operators_follow_the_purchases_of_all_tenants(suite: Suite, http: InProcessHttp) -> None:
    async with suite.persistence() as records:
        await add_tenant(records, "rival", {"name": "Rival"})
        roles: dict[Role, dict[str, str]] = {
            role: (await add_member(records, "main", role)).token for role in ("customer", "viewer", "operator")
        }
        for sent in (roles["customer"], roles["viewer"]):
            assert (await http.ask("GET", "/api/v1/events?topics=purchases", headers=sent)).status == 403
        rival = records.of("rival")
        async with http.stream("?topics=purchases", **roles["operator"]) as events:
            purchase = await buy(rival, "leo", await add_book(rival))
            await cancel_purchase(rival, "leo", purchase.purchase, "expired")
            placed, cancelled = await events.next("purchase.placed", "purchase.cancelled")
            assert (placed["tenant"], placed["user"], cancelled["reason"]) == ("rival", "leo", "expired")
            assert "Mayor" not in str(placed)


async def test_purchases_are_counted_by_status_and_sales_by_currency(suite: Suite, http: InProcessHttp) -> None:
    async with suite.persistence() as records, suite.distributed() as distributed:
        viewer = await add_member(records, "main", "operator")
        async with http.stream("?topics=purchases", **viewer.token) as events:
            book = await add_book(records)
            first, second, _ = [await buy(records, "ana", book) for _ in range(3)]
            assert await complete_purchase(records, first)
            await cancel_purchase(records, "ana", second.purchase, "expired")
            await events.next(*["purchase.placed"] * 3, "purchase.completed", "purchase.cancelled")
        assert (await distributed.get_global_stats())["compras"] == {
            "pendientes": 1,
            "completadas": 1,
            "canceladas": 1,
            "ventas": [{"moneda": "EUR", "importe": 25.80}],
        }


async def test_movements_of_stock_name_their_purchase(suite: Suite, http: InProcessHttp) -> None:
    await suite.start_inventory()
    async with suite.persistence() as records:
        operator = await add_member(records, "main", "operator")
        book = await add_book(records)
        purchase = await buy(records, "ana", book)
        await cancel_purchase(records, "ana", purchase.purchase, "expired")

        async def has_three() -> Any:
            reply = await http.ask("GET", f"/items/{MAIN_STORE}/{book}/movements", headers=operator.token)
            found = reply.json["movements"] if reply.status == 200 else []
            return found if len(found) == 3 else None

        released, taken, _ = await pass_time_until(has_three)
        assert [(one["cause"], one["change"], one["reference"]) for one in (taken, released)] == [
            ("order", -2, purchase.purchase),
            ("release", 2, purchase.purchase),
        ]
