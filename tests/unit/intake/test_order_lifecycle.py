"""The owner of the orders' state: what it counts, whichever of several changes becomes known first."""

import asyncio
from typing import Any, cast

import pytest

from services.intake.metrics import IntakeMetrics
from services.intake.order_lifecycle import OrderLifecycle
from shared.domain.errors import QueueFull
from shared.domain.ids import OrderRange
from shared.domain.orders import Priority
from shared.domain.states import State
from shared.stores.ports.orders import Adoption, Cancellation, OpenRange, OrderBatch, Rescue
from shared.wire.orders import encode_orders
from tests.support.memory_orders import MemoryOrders, MemoryOrderStore
from tests.support.orders import request
from workers.messages import FailedOrder, WorkerReport
from workers.pool import Pool


class StubPool:
    """A pool whose orders a worker holds as soon as they are queued, until the test takes them away."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.queued: list[OpenRange] = []
        self.running = 0

    def workers(self) -> list[Any]:
        return []

    def enqueue(self, entry: OpenRange, *, stored: int) -> None:
        self.queued.append(entry)
        self.held.update(entry.orders.sequences)

    def withdraw(self, sequence: int) -> bool:
        return False

    def stored_at(self, sequence: int) -> int | None:
        return 1 if sequence in self.held else None

    def dispatch(self) -> None:
        """Does nothing: there are no workers."""


class SlowStore(MemoryOrderStore):
    """A store whose answers come a turn of the event loop after its commits, or before them."""

    async def retry(self, order_id: str) -> OpenRange | State:
        await asyncio.sleep(0)
        outcome = await super().retry(order_id)
        await asyncio.sleep(0)
        return outcome

    async def cancel(self, order_id: str) -> Cancellation | State:
        await asyncio.sleep(0)
        outcome = await super().cancel(order_id)
        await asyncio.sleep(0)
        return outcome


class Kitchen:
    """A lifecycle with a store in memory and a stub for its pool."""

    def __init__(self, limit: int = 10) -> None:
        self.database = MemoryOrders()
        self.pool = StubPool()
        self.lifecycle = OrderLifecycle(
            SlowStore(self.database),
            IntakeMetrics(),
            lambda _: cast(Pool, self.pool),
            limit=limit,
            places=1,
            unread_bytes=1000,
        )

    async def accept(self, orders: int = 1) -> OrderRange:
        requests = [request(str(number)) for number in range(orders)]
        return (await self.lifecycle.accept(OrderBatch(requests, encode_orders(requests), True), 5)).acceptance.orders

    def fail_in_store(self, sequence: int) -> None:
        """Has a worker commit that an order has failed, without a report of it so far."""
        self.database.orders[sequence].state = State.FAILED

    def report(self, order: OrderRange, *, failed: bool) -> None:
        """Has the worker say that the order has failed, or that it was not to begin it."""
        self.pool.held.discard(order.first)
        failures, refused = ([FailedOrder(order, "broken")], []) if failed else ([], [order])
        self.lifecycle.complete(WorkerReport([], [], failures, [], refused, [], 5, {}, {}))

    async def fail(self, order: OrderRange) -> None:
        """Has an order fail, and its failure reported."""
        self.fail_in_store(order.first)
        self.report(order, failed=True)

    async def cancel(self, order: OrderRange) -> None:
        assert await self.lifecycle.cancel(next(order.ids())) is None

    async def reopen(self, order: OrderRange) -> None:
        assert await self.lifecycle.reopen(next(order.ids())) is None

    def counts(self) -> tuple[int, int, int]:
        """Returns the numbers of orders that are open, failed, and cancelled."""
        now = self.lifecycle.snapshot()
        return now.open, now.states[State.FAILED], now.states[State.CANCELLED]


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


async def test_failed_order_that_is_discarded_was_open_once(kitchen: Kitchen) -> None:
    order = await kitchen.accept()
    await kitchen.fail(order)
    assert kitchen.counts() == (0, 1, 0)
    await kitchen.cancel(order)
    assert kitchen.counts() == (0, 0, 1)


async def test_order_that_is_discarded_before_its_failure_is_reported_is_counted_with_the_report(
    kitchen: Kitchen,
) -> None:
    order = await kitchen.accept()
    kitchen.fail_in_store(order.first)
    await kitchen.cancel(order)
    assert kitchen.counts() == (1, 0, 0)
    kitchen.report(order, failed=True)
    assert kitchen.counts() == (0, 0, 1)


@pytest.mark.parametrize("found", [State.CANCELLED, State.FAILED])
async def test_order_whose_failure_is_never_reported_is_counted_when_its_worker_is_dead(
    kitchen: Kitchen, found: State
) -> None:
    order = await kitchen.accept()
    kitchen.fail_in_store(order.first)
    await kitchen.cancel(order)
    kitchen.lifecycle.rescue(Rescue([], {found: [order]}))
    assert kitchen.counts() == (0, 0, 1)


async def test_order_that_others_have_cancelled_is_counted_when_it_is_refused(kitchen: Kitchen) -> None:
    kitchen.report(await kitchen.accept(), failed=False)
    assert kitchen.counts() == (0, 0, 1)


async def test_order_that_is_cancelled_while_a_worker_has_it_is_counted_once(kitchen: Kitchen) -> None:
    order = await kitchen.accept()
    await kitchen.cancel(order)
    assert kitchen.counts() == (0, 0, 1)
    kitchen.report(order, failed=False)
    assert kitchen.counts() == (0, 0, 1)


async def test_order_that_is_reopened_before_its_failure_is_reported_is_queued_with_the_report(
    kitchen: Kitchen,
) -> None:
    order = await kitchen.accept()
    kitchen.fail_in_store(order.first)
    await kitchen.reopen(order)
    assert (kitchen.counts(), len(kitchen.pool.queued)) == ((1, 0, 0), 1)
    kitchen.report(order, failed=True)
    assert (kitchen.counts(), len(kitchen.pool.queued)) == ((1, 0, 0), 2)


async def test_order_that_is_reopened_and_whose_failure_is_never_reported_is_queued_once(kitchen: Kitchen) -> None:
    order = await kitchen.accept()
    kitchen.fail_in_store(order.first)
    await kitchen.reopen(order)
    kitchen.lifecycle.rescue(Rescue([OpenRange(order, 1, Priority.NORMAL, None)], {}))
    assert (kitchen.counts(), len(kitchen.pool.queued)) == ((1, 0, 0), 1)
    kitchen.report(order, failed=True)
    assert (kitchen.counts(), len(kitchen.pool.queued)) == ((0, 1, 0), 1)


async def test_orders_that_are_reopened_and_accepted_at_one_time_keep_to_the_bound() -> None:
    kitchen = Kitchen(limit=2)
    failed = [await kitchen.accept() for _ in range(2)]
    for order in failed:
        await kitchen.fail(order)
    await kitchen.accept()
    outcomes = await asyncio.gather(
        *(kitchen.reopen(order) for order in failed), kitchen.accept(2), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), QueueFull, OrderRange]
    open_orders = [one for one in kitchen.database.orders.values() if one.state is State.QUEUED]
    assert len(open_orders) == kitchen.lifecycle.open == 2


async def test_orders_of_a_dead_server_are_counted_and_queued(kitchen: Kitchen) -> None:
    order = await kitchen.accept()
    left = await MemoryOrderStore(kitchen.database).recover()
    assert kitchen.lifecycle.adopt(Adoption([left], [], [], [])) == 1
    assert (kitchen.counts(), len(kitchen.pool.queued)) == ((2, 0, 0), 2)
    assert kitchen.lifecycle.snapshot().accepted == 2
    assert kitchen.pool.queued[1].orders == order
