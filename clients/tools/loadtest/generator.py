"""Decides which order is sent when, and when a load test is over."""

import asyncio
import itertools
import sys
import time
from collections import deque

from clients.access import Target
from clients.connector import connect_to_server
from clients.errors import Unreachable
from clients.tools.loadtest.connection import Connection
from clients.tools.loadtest.measure import Measure
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.workload import Workload

_RETRY_SECONDS = 0.2
_AWAY_SECONDS = 60.0
_CHECK_SECONDS = 3.0
_TICK_SECONDS = 0.001


class Generator:
    """One run of a load test."""

    def __init__(self, workload: Workload, measure: Measure, plan: Plan, *, target: Target) -> None:
        self.workload = workload
        self.measure = measure
        self.plan = plan
        self._target = target
        self._families = itertools.cycle(plan.families)
        self._limit = sys.maxsize if plan.orders is None else plan.orders
        self._next = 0
        self._again: deque[int] = deque()
        self._over = False
        self._began = 0.0
        self._connections: deque[Connection] = deque()
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] | None = None

    async def run(self) -> float:
        """Sends everything; gives the seconds it took. Raises Unreachable when the server stays away."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        watching = [asyncio.create_task(self._give_up_silent())]
        try:
            for _ in range(self.plan.connections):
                await self._connect()
            self._began = time.monotonic()
            self.measure.timeline.begin(self._began)
            if self.plan.seconds is not None:
                loop.call_later(self.plan.seconds, self._stop)
            if self.plan.rate is not None:
                watching.append(asyncio.create_task(self._pace()))
            self._fill()
            await self._done
            return time.monotonic() - self._began
        finally:
            self._done.cancel()
            for task in (*watching, *self._reconnecting):
                task.cancel()
            for connection in list(self._connections):
                connection.close()

    async def _connect(self) -> Connection:
        family = next(self._families)
        host, port, access = self._target
        connection = await connect_to_server(
            lambda: Connection(self, family), host, port, family=family, tls=access.tls
        )
        if connection.open:
            self._connections.append(connection)
        return connection

    async def _give_up_silent(self) -> None:
        """Ends connections that owe answers and stay silent, as when the server's machine has vanished."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for connection in list(self._connections):
                connection.check()

    async def _pace(self) -> None:
        """Sends what has fallen due, spread over the connections."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._fill()

    def _fill(self) -> None:
        share = self.plan.pipeline
        if self.plan.rate is not None and self._connections:
            share = -(-(self._due() - self._next + len(self._again)) // len(self._connections))
            # The one that was first last time is last now.
            self._connections.rotate(-1)
        for connection in list(self._connections):
            connection.fill(share)

    def _due(self) -> int:
        """How many orders are to have been sent by now."""
        if self.plan.rate is None:
            return self._limit
        return min(self._limit, int((time.monotonic() - self._began) * self.plan.rate) + 1)

    def due(self, numbers: list[int]) -> list[tuple[float, int]]:
        """When orders that are sent now fell due: times, and how many fell due then."""
        rate = self.plan.rate
        if rate is None:
            return [(time.monotonic(), len(numbers))]
        return [(self._began + number / rate, 1) for number in numbers]

    def take(self, limit: int) -> list[int]:
        """Numbers of the orders to send next."""
        numbers = [self._again.popleft() for _ in range(min(limit, len(self._again)))]
        fresh = min(limit - len(numbers), self._due() - self._next)
        numbers.extend(range(self._next, self._next + fresh))
        self._next += fresh
        self.measure.ids.extend([None] * fresh)
        self.measure.sent += len(numbers)
        return numbers

    def again(self, numbers: list[int], seconds: float | None) -> None:
        """These orders are to be sent again after a pause."""
        if self._over:
            self.measure.given_up += len(numbers)
        else:
            pause = _RETRY_SECONDS if seconds is None else seconds
            asyncio.get_running_loop().call_later(pause, self._ready, numbers)

    def _ready(self, numbers: list[int]) -> None:
        if not self._over:
            self._again.extend(numbers)
            self._fill()

    def _stop(self) -> None:
        """The time is over: what is in flight is waited for, what waits to be sent again is given up."""
        self._over = True
        self._limit = self._next
        self._again.clear()
        in_flight = sum(connection.in_flight for connection in self._connections)
        self.measure.given_up += self._next - self.measure.settled - in_flight
        self.settled()

    def settled(self) -> None:
        """Something was answered for good."""
        if self.measure.settled >= self._limit and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def lost(self, connection: Connection, numbers: list[int]) -> None:
        """A connection broke with these orders in flight."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self._done is None or self._done.done():
            return
        if self.workload.keyed:
            self._again.extendleft(reversed(numbers))
        else:
            self.measure.unknown += len(numbers)
            self.settled()
        task = asyncio.get_running_loop().create_task(self._reconnect(self._done))
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    async def _reconnect(self, run: "asyncio.Future[None]") -> None:
        until = time.monotonic() + _AWAY_SECONDS
        while not run.done():
            try:
                connection = await self._connect()
            except Unreachable as error:
                if time.monotonic() > until and not run.done():
                    run.set_exception(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.measure.reconnections += 1
                connection.fill(self.plan.pipeline)
                return
