"""Schedules the orders of a load test, and decides when it is complete."""

import asyncio
import itertools
import sys
import time
from collections import deque

from clients.access import Target
from clients.connector import connect_to_server
from clients.errors import Unreachable
from clients.tools.loadtest.connection import LoadConnection
from clients.tools.loadtest.measurements import Measurements
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.workload import Workload

_RETRY_SECONDS = 0.2
_AWAY_SECONDS = 60.0
_TICK_SECONDS = 0.001


class LoadGenerator:
    """One run of a load test. Aborts connections that are silent while answers are due, every `check_seconds`."""

    def __init__(
        self,
        workload: Workload,
        measure: Measurements,
        plan: Plan,
        *,
        target: Target,
        check_seconds: float = 3.0,
    ) -> None:
        self.workload = workload
        self.measure = measure
        self.plan = plan
        self._target = target
        self._check_seconds = check_seconds
        self._families = itertools.cycle(plan.families)
        self._limit = sys.maxsize if plan.orders is None else plan.orders
        self._next = 0
        self._waiting_numbers: deque[int] = deque()
        self._over = False
        self._began = 0.0
        self._connections: deque[LoadConnection] = deque()
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] | None = None

    async def run(self) -> float:
        """Sends all orders. Returns the duration in seconds. Raises Unreachable if the server stays away."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        watching = [asyncio.create_task(self._give_up_silent())]
        try:
            for _ in range(self.plan.connections):
                await self._open_connection()
            self._began = time.monotonic()
            self.measure.timeline.begin_run(self._began)
            if self.plan.seconds is not None:
                loop.call_later(self.plan.seconds, self._stop_sending)
            if self.plan.rate is not None:
                watching.append(asyncio.create_task(self._send_at_rate()))
            self._fill_connections()
            await self._done
            return time.monotonic() - self._began
        finally:
            self._done.cancel()
            for task in (*watching, *self._reconnecting):
                task.cancel()
            for connection in list(self._connections):
                connection.close()

    async def _open_connection(self) -> LoadConnection:
        family = next(self._families)
        host, port, access = self._target
        connection = await connect_to_server(
            lambda: LoadConnection(self, family), host, port, family=family, tls=access.tls
        )
        if connection.is_open:
            self._connections.append(connection)
        return connection

    async def _give_up_silent(self) -> None:
        """Aborts connections that are silent while answers are due, as after a crash of the server's machine."""
        while True:
            await asyncio.sleep(self._check_seconds)
            for connection in list(self._connections):
                connection.check_silence()

    async def _send_at_rate(self) -> None:
        """Sends the orders that are due, distributed over the connections."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._fill_connections()

    def _fill_connections(self) -> None:
        share = self.plan.pipeline
        if self.plan.rate is not None and self._connections:
            share = -(-(self._due_count() - self._next + len(self._waiting_numbers)) // len(self._connections))
            # Each time another connection is the first.
            self._connections.rotate(-1)
        for connection in list(self._connections):
            connection.send_orders(share)

    def _due_count(self) -> int:
        """Returns the number of orders that are due by now."""
        if self.plan.rate is None:
            return self._limit
        return min(self._limit, int((time.monotonic() - self._began) * self.plan.rate) + 1)

    def due_times(self, numbers: list[int]) -> list[tuple[float, int]]:
        """Returns the times when these orders were due, each with the number of orders due then."""
        rate = self.plan.rate
        if rate is None:
            return [(time.monotonic(), len(numbers))]
        return [(self._began + number / rate, 1) for number in numbers]

    def take_numbers(self, limit: int) -> list[int]:
        """Returns the numbers of the orders to send next."""
        numbers = [self._waiting_numbers.popleft() for _ in range(min(limit, len(self._waiting_numbers)))]
        fresh = min(limit - len(numbers), self._due_count() - self._next)
        numbers.extend(range(self._next, self._next + fresh))
        self._next += fresh
        self.measure.ids.extend([None] * fresh)
        self.measure.sent += len(numbers)
        return numbers

    def send_again(self, numbers: list[int], seconds: float | None) -> None:
        """Schedules these orders to be sent again after a pause."""
        if self._over:
            self.measure.given_up += len(numbers)
        else:
            pause = _RETRY_SECONDS if seconds is None else seconds
            asyncio.get_running_loop().call_later(pause, self._resend_orders, numbers)

    def _resend_orders(self, numbers: list[int]) -> None:
        if not self._over:
            self._waiting_numbers.extend(numbers)
            self._fill_connections()

    def _stop_sending(self) -> None:
        """Ends the time for sending: waits for orders in flight, and gives up those that wait to be sent again."""
        self._over = True
        self._limit = self._next
        self._waiting_numbers.clear()
        in_flight = sum(connection.in_flight for connection in self._connections)
        self.measure.given_up += self._next - self.measure.settled - in_flight
        self.report_settled()

    def report_settled(self) -> None:
        """Completes the run if all orders have their final answer."""
        if self.measure.settled >= self._limit and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def report_lost_connection(self, connection: LoadConnection, numbers: list[int]) -> None:
        """Removes a broken connection, and sends its orders again where that is safe."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self._done is None or self._done.done():
            return
        if self.workload.keyed:
            self._waiting_numbers.extendleft(reversed(numbers))
        else:
            self.measure.unknown += len(numbers)
            self.report_settled()
        task = asyncio.get_running_loop().create_task(self._reopen_connection(self._done))
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    async def _reopen_connection(self, run: "asyncio.Future[None]") -> None:
        until = time.monotonic() + _AWAY_SECONDS
        while not run.done():
            try:
                connection = await self._open_connection()
            except Unreachable as error:
                if time.monotonic() > until and not run.done():
                    run.set_exception(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.measure.reconnections += 1
                connection.send_orders(self.plan.pipeline)
                return
