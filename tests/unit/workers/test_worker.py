"""A worker over a store that is a fake: how much of what waits it takes into its hands."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.domain.ids import OrderRange
from shared.domain.orders import Priority
from shared.stores.ports.orders import Advance, Claim, Ticket
from tests.support.intake import PATIENCE
from workers.handlers import Job, Loaded
from workers.messages import Drain, FromWorker, Tickets, WorkerReport, decode_from_worker
from workers.queue import open_channel
from workers.worker import Worker, WorkPolicy

ORDERS = 200
DOCUMENT = msgspec.json.encode({"cliente": "Ana", "productos": ["x" * 100] * 1000, "direccion": "Mayor 1"}).decode()


class Store:
    """Begins whatever fits."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def advance(
        self, worker: str, *, tickets: Sequence[Ticket] = (), max_bytes: int | None = None, **results: Any
    ) -> Advance:
        claims: list[Claim] = []
        left = list(tickets)
        if tickets:
            assert max_bytes is not None
            self.asked.append(max_bytes)
        room = max_bytes or 0
        while left and room > 0:
            taken, rest = left[0].split_at(-(-room // len(DOCUMENT)))
            left[:1] = rest
            claims.append(Claim(taken, [DOCUMENT] * taken.orders.count, 0))
            room -= taken.orders.count * len(DOCUMENT)
        return Advance(claims, [], set(), left)

    async def close(self) -> None:
        pass


class Hands:
    """A handler that counts what it has in hand, and returns when it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.ended = 0
        self.changed = asyncio.Condition()
        self.go = asyncio.Semaphore(0)

    async def __call__(self, job: Job) -> None:
        async with self.changed:
            self.running += 1
            self.most = max(self.most, self.running)
            self.changed.notify_all()
        await self.go.acquire()
        async with self.changed:
            self.running -= 1
            self.ended += 1
            self.changed.notify_all()


async def _close() -> None:
    pass


async def test_large_orders_are_taken_by_their_size() -> None:
    hands, store = Hands(), Store()
    limit = 10 * len(DOCUMENT)
    policy = WorkPolicy(1000, 3, 1.0, 60.0, 60.0, document_bytes=limit)
    worker = Worker("w1", store, Loaded(hands, None, _close), policy)
    done: list[OrderRange] = []
    ended = asyncio.Event()

    def take(messages: list[FromWorker]) -> None:
        for message in messages:
            if isinstance(message, WorkerReport):
                done.extend(message.done)
        if sum(order_range.count for order_range in done) == ORDERS:
            ended.set()

    ours, theirs = socket.socketpair()
    channel = await open_channel(ours, decode_from_worker, take, lambda: None)
    running = asyncio.create_task(worker.run(theirs))
    channel.put(Tickets([Ticket(OrderRange(1, 1, 1, ORDERS), 1, Priority.NORMAL, 1, 1)]))
    async with asyncio.timeout(PATIENCE), hands.changed:
        while hands.ended < ORDERS:
            # What has ended makes room for as much.
            before = hands.ended
            await hands.changed.wait_for(lambda: hands.running == 10)
            for _ in range(10):
                hands.go.release()
            while hands.ended < before + 10:
                await hands.changed.wait()
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
        assert hands.most == 10
        assert max(store.asked) == limit
        channel.put(Drain(1.0))
        await running
    await channel.close()


async def test_small_orders_are_bounded_by_their_number_alone() -> None:
    worker = Worker("w1", Store(), Loaded(Hands(), None, _close), WorkPolicy(1000, 3, 1.0, 60.0, 60.0))
    small = '{"cliente":"Ana","productos":["pan"],"direccion":"Mayor 1"}'
    worker._start_claim(Claim(Ticket(OrderRange(1, 1, 1, 900), 1, Priority.NORMAL, 1, 1), [small] * 900, 0))
    assert worker._free_places() == 100
    await worker._runner.cancel_attempts()
