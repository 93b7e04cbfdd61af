"""Purchases that are fulfilled by orders: each ends once, and stock and sales always add up."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from clients.shop.books import create_book, get_book
from clients.shop.carts import add_to_cart
from clients.shop.checkout import CheckoutRequest, check_out
from clients.shop.purchases import cancel_purchase, get_purchase, record_order
from services.shop.fulfilling import Fulfilling
from services.shop.fulfilling_follower import PurchaseFollower, build_order
from services.shop.payments import DECLINED, TIMED_OUT, SimulatedPayments
from shared.domain.isbn import complete_isbn
from shared.domain.orders import OrderRequest
from shared.domain.purchases import Purchase, format_request_id, is_purchase_order
from shared.domain.states import State
from shared.domain.tenants import TenantRecord
from tests.support.in_process import Suite
from tests.support.simulation import pass_time_until
from workers.handlers import Job, Kit, Reject

HANDLER = "services.shop.fulfilling:Fulfilling"


class CountedPayments(SimulatedPayments):
    """Payments that are counted by purchase."""

    def __init__(self) -> None:
        super().__init__()
        self.captured: list[str] = []
        self.refunded: list[str] = []

    async def capture(self, purchase: Purchase) -> None:
        await super().capture(purchase)
        self.captured.append(purchase.purchase)

    async def refund(self, purchase: Purchase) -> None:
        self.refunded.append(purchase.purchase)


class Shop:
    """A shop of the tenant `main` with one book of ten copies."""

    def __init__(self, suite: Suite, records: PersistenceClient, book: str) -> None:
        self.suite = suite
        self.records = records
        self.book = book
        self.payments = CountedPayments()

    async def buy(self, method: str = "card", quantity: int = 2) -> Purchase:
        """Buys copies of the book."""
        await add_to_cart(self.records, "ana", self.book, quantity)
        request = CheckoutRequest(method, {"street": "Mayor 1"})
        return (await check_out(self.records, TenantRecord("main", "Main"), "ana", request)).purchase

    async def look(self, purchase: Purchase) -> Purchase:
        """Returns a purchase as it is now."""
        return await get_purchase(self.records, "ana", purchase.purchase)

    async def count(self) -> int:
        """Returns the copies in stock."""
        return (await get_book(self.records, self.book)).stock

    async def wait_for(self, purchase: Purchase, status: str) -> Purchase:
        """Waits until a purchase has a status."""

        async def has_status() -> bool:
            return (await self.look(purchase)).status == status

        await pass_time_until(has_status)
        return await self.look(purchase)

    @asynccontextmanager
    async def following(self, *, events: bool = True, pending_seconds: float = 1800) -> AsyncIterator[IntakeClient]:
        """Runs a follower of purchases for the block; gives a client of the intake."""
        async with self.suite.intake() as intake, self.suite.persistence() as records:
            distributed = self.suite.distributed() if events else None
            follower = PurchaseFollower(records, intake, distributed, self.payments, pending_seconds=pending_seconds)
            task = asyncio.create_task(follower.run())
            try:
                yield intake
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                if distributed is not None:
                    distributed.close()


@pytest.fixture
async def shop(suite: Suite) -> AsyncIterator[Shop]:
    """A shop beside a persistence server."""
    await suite.start_persistence()
    async with suite.persistence() as records:
        members = {"isbn": complete_isbn("978000000001"), "title": "T", "author": "A", "price": 1299}
        yield Shop(suite, records, (await create_book(records, members, 10)).book.book)


@pytest.mark.parametrize("events", [True, False])
async def test_a_purchase_is_completed_by_its_order(shop: Shop, events: bool) -> None:
    await shop.suite.start_intake(order_handler=HANDLER)
    if events:
        await shop.suite.start_distributed()
    before = await shop.buy()
    async with shop.following(events=events) as intake:
        purchases = [before, await shop.buy(quantity=1), await shop.buy("cash_on_delivery", 1)]
        for purchase in purchases:
            done = await shop.wait_for(purchase, "completed")
            assert done.order is not None
            order = await intake.follow(done.order)
            assert (order.state, order.customer, order.address) == (
                State.DONE, "main/ana", f"purchase {purchase.purchase}",
            )  # fmt: skip
            assert order.items[0].name == shop.book  # type: ignore[union-attr]
        assert len([order async for order in intake.list()]) == 3
    assert await shop.count() == 6
    assert shop.payments.refunded == []


@pytest.mark.parametrize(("method", "reason"), [(DECLINED, "payment_declined"), (TIMED_OUT, "order_failed")])
async def test_a_failed_payment_cancels_the_purchase(shop: Shop, method: str, reason: str) -> None:
    await shop.suite.start_intake(order_handler=HANDLER, max_attempts=2, retry_seconds=0.1)
    await shop.suite.start_distributed()
    async with shop.following():
        purchase = await shop.buy(method)
        assert await shop.count() == 8
        assert (await shop.wait_for(purchase, "cancelled")).reason == reason
    assert await shop.count() == 10


async def test_a_customer_cancels_before_the_order_is_begun(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler=HANDLER, processing_seconds=3600)
    await shop.suite.start_distributed()
    async with shop.following() as intake:
        purchase = await shop.buy()

        async def has_order() -> bool:
            return (await shop.look(purchase)).order is not None

        await pass_time_until(has_order)
        order = (await shop.look(purchase)).order
        assert order is not None
        await cancel_purchase(shop.records, "ana", purchase.purchase, "customer")

        async def is_refunded() -> bool:
            return purchase.purchase in shop.payments.refunded

        await pass_time_until(is_refunded)
        assert (await intake.status(order)).state in (State.RUNNING, State.CANCELLED)
    assert (await shop.count(), (await shop.look(purchase)).reason) == (10, "customer")


async def test_a_pending_purchase_expires(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler=HANDLER, processing_seconds=3600)
    await shop.suite.start_distributed()
    first, later = await shop.buy(), await shop.buy("cash_on_delivery", 1)
    async with shop.following(pending_seconds=-1):
        assert (await shop.wait_for(first, "cancelled")).reason == "expired"
    assert ((await shop.look(later)).status, await shop.count()) == ("pending", 9)


async def test_an_order_of_a_stranger_cancels_no_purchase(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler=HANDLER, processing_seconds=3600)
    purchase = await shop.buy()
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    request_id = format_request_id("main", purchase)
    forged = OrderRequest("main/ana", ["x"], "y", request_id=request_id, client_id="stranger", not_before=later)
    async with shop.suite.intake() as intake, shop.suite.persistence() as records:
        follower = PurchaseFollower(records, intake, None, shop.payments, pending_seconds=1800)
        own = (await intake.order(build_order("main", purchase))).id
        assert await record_order(records, purchase, own)
        accepted = await intake.order(forged)
        assert accepted.id != own
        await intake.cancel(accepted.id)
        await follower.settle_order(accepted.id)
    assert (await shop.look(purchase)).status == "pending"


async def test_an_order_is_sent_once(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler=HANDLER)
    purchase = await shop.buy()
    async with shop.suite.intake() as intake:
        order = build_order("main", purchase)
        first, again = await intake.order(order), await intake.order(order)
        assert first.id == again.id
    assert is_purchase_order(order.request_id)


async def work(handler: Fulfilling, purchase: Purchase) -> None:
    await handler(Job("o", 1, build_order("main", purchase)))


async def test_a_purchase_that_is_cancelled_during_its_payment_is_refunded(shop: Shop) -> None:
    handler = Fulfilling(Kit(persistence_port=shop.suite.ports["tcp_persist_port"]))
    payments = shop.payments
    purchase = await shop.buy()

    class Slow(CountedPayments):
        async def capture(self, purchase: Purchase) -> None:
            payments.captured.append(purchase.purchase)
            await cancel_purchase(shop.records, "ana", purchase.purchase, "customer")

    slow = Slow()
    handler.payments = slow
    with pytest.raises(Reject, match="cancelled"):
        await work(handler, purchase)
    assert (payments.captured, slow.refunded) == ([purchase.purchase], [purchase.purchase])
    # A second attempt takes nothing.
    with pytest.raises(Reject, match="cancelled"):
        await work(handler, purchase)
    assert len(payments.captured) == 1
    second = await shop.buy()
    handler.payments = payments
    await work(handler, second)
    await work(handler, second)
    assert payments.captured == [purchase.purchase, second.purchase]
    unknown: Any = OrderRequest("c", ["x"], "y", request_id="purchase/main/ana/none")
    with pytest.raises(Reject, match="no such purchase"):
        await handler(Job("o", 1, unknown))
    await handler(Job("o", 1, OrderRequest("c", ["x"], "y")))
    await handler.close()


async def test_reservations_pass_over_purchases(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler="services.inventory.reserving:Reserving")
    purchase = await shop.buy()
    async with shop.suite.intake() as intake:
        order = (await intake.order(build_order("main", purchase))).id
        assert (await intake.follow(order)).state is State.DONE
    assert await shop.count() == 8


async def test_the_service_shop_fulfils_purchases(shop: Shop) -> None:
    await shop.suite.start_intake(order_handler=HANDLER)
    await shop.suite.start_distributed()
    purchase = await shop.buy()
    await shop.suite.start_shop()
    assert (await shop.wait_for(purchase, "completed")).total == 2598
