"""Seeded random walks through the life of orders: bound, queue and statistics agree at every step.

Workers are killed, the store takes its time before and after each commit, and reports are under way, while orders are
accepted, cancelled and reopened in any order.
"""

import asyncio
import random
from collections import Counter
from operator import attrgetter
from typing import Any

import pytest

from services.intake import intake
from services.intake.order_lifecycle import OrderLifecycle
from shared.domain.errors import QueueFull
from shared.domain.states import FINAL, State
from shared.stores.ports.orders import Acceptance, Cancellation, OpenRange, OrderBatch
from shared.wire.orders import encode_orders
from tests.support import in_process
from tests.support.in_process import Suite
from tests.support.memory_orders import MemoryOrderStore
from tests.support.orders import request
from tests.support.simulation import pass_time_until

LIMIT = 8
STEPS = 400
CUSTOMERS = ("Ana", "fails", "fails once", "rejected", "rejected", "rejected")
PAUSES = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.001, 0.01, 0.2)


class Walk:
    """The intake of a suite, and what a walk does to its orders."""

    def __init__(self, suite: Suite, lifecycle: OrderLifecycle, chance: random.Random) -> None:
        self.suite = suite
        self.lifecycle = lifecycle
        self._chance = chance
        self._under_way: set[asyncio.Task[Any]] = set()
        self.seen = Counter[str]()

    def step(self) -> None:
        """Does one thing, without waiting for its end."""
        match self._chance.choices(("accept", "cancel", "reopen", "kill", "nothing"), (5, 3, 6, 1, 3))[0]:
            case "accept":
                self._start(self._accept())
            case "cancel":
                self._start(self._change(self.lifecycle.cancel))
            case "reopen":
                self._start(self._change(self.lifecycle.reopen))
            case "kill":
                if alive := [worker for worker in self.suite.workers if worker.is_alive()]:
                    self._chance.choice(alive).kill()
                    self.seen["killed"] += 1

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _accept(self) -> None:
        requests = [request(self._chance.choice(CUSTOMERS)) for _ in range(self._chance.randint(1, 5))]
        admitted = await self.lifecycle.accept(OrderBatch(requests, encode_orders(requests), True), 1_000_000)
        self.seen["refused"] += len(requests) - admitted.acceptance.orders.count
        self.lifecycle.dispatch()

    async def _change(self, change: Any) -> None:
        """Cancels or reopens some order, the newest ones most often."""
        orders = list(self.suite.orders.orders.values())[-12:]
        if not orders:
            return
        try:
            forbidden = await change(self.suite.orders.id_of(self._chance.choice(orders)))
        except QueueFull:
            self.seen["full"] += 1
            return
        self.seen[f"{change.__name__} {forbidden or 'done'}"] += 1

    def check(self) -> None:
        """Compares the parts of the lifecycle with each other and with the store."""
        states = Counter(map(attrgetter("state"), self.suite.orders.orders.values()))
        assert states[State.QUEUED] + states[State.RUNNING] <= LIMIT
        pool: Any = self.lifecycle._pool
        waiting = len(pool._backlog) + len(pool._quarantine)
        held = sum(member.holding.orders for member in pool._members) + pool._orphans.orders
        cancelled = len(self.lifecycle._cancelled)
        assert 0 <= self.lifecycle.open == waiting + held - cancelled <= LIMIT

    async def finish(self) -> None:
        """Waits until nothing is open, and compares the statistics with the store."""
        await asyncio.gather(*self._under_way)
        await pass_time_until(lambda: not self.lifecycle.open)
        await asyncio.sleep(5)
        self.check()
        states = Counter(order.state for order in self.suite.orders.orders.values())
        snapshot = self.lifecycle.snapshot()
        assert {state: snapshot.states[state] for state in State} == {state: states[state] for state in State}
        assert snapshot.accepted == sum(states.values())
        assert set(states) <= FINAL


class SlowStore(MemoryOrderStore):
    """A store that lets others go on before and after each of its commits."""

    async def _pause(self) -> None:
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        await self._pause()
        acceptance = await super().accept(batch, received=received, room=room)
        await self._pause()
        return acceptance

    async def retry(self, order_id: str) -> OpenRange | State:
        await self._pause()
        outcome = await super().retry(order_id)
        await self._pause()
        return outcome

    async def cancel(self, order_id: str) -> Cancellation | State:
        await self._pause()
        outcome = await super().cancel(order_id)
        await self._pause()
        return outcome


@pytest.mark.parametrize("seed", range(6))
async def test_bound_queue_and_statistics_agree_at_every_step(
    suite: Suite, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[OrderLifecycle] = []

    def create(*words: Any, **members: Any) -> OrderLifecycle:
        made.append(OrderLifecycle(*words, **members))
        return made[-1]

    monkeypatch.setattr(intake, "OrderLifecycle", create)
    monkeypatch.setattr(in_process, "MemoryOrderStore", SlowStore)
    random.seed(seed)
    await suite.start_intake(
        max_pedidos_en_cola=LIMIT,
        worker_count=2,
        worker_concurrency=3,
        processing_seconds=0.01,
        order_handler="tests.support.kitchens:fussy",
        max_rescues=2,
        retry_seconds=0.001,
    )
    chance = random.Random(seed)
    walk = Walk(suite, made[0], chance)
    for _ in range(STEPS):
        walk.step()
        pause = chance.choice(PAUSES)
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
            walk.check()
        await asyncio.sleep(pause)
        walk.check()
    await walk.finish()
    # The walk has met what it is about.
    assert all(walk.seen[name] for name in ("refused", "killed", "cancel done", "reopen done"))
