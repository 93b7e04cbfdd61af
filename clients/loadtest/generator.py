"""Sends a workload over many connections, keeping a window of orders in flight on each.

As bare as it can be, so that the server is what is measured: no task and no future per order, one write
and one decode for a whole window.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec
from msgspec import Struct

from clients.errors import Unreachable
from clients.loadtest.measure import Measure
from clients.loadtest.workload import Workload

_RECONNECT_SECONDS = 0.2
_AWAY_SECONDS = 60.0


class _Answer(Struct):
    success: bool | None = None
    event: str | None = None
    id: str = ""
    error: str = ""
    duplicate: bool = False
    retry_after_ms: int = 0


class Generator:
    """One run of a load test."""

    def __init__(self, workload: Workload, measure: Measure, *, host: str, port: int, pipeline: int) -> None:
        self.workload = workload
        self.measure = measure
        self.pipeline = pipeline
        self._host = host
        self._port = port
        self._next = 0
        self._again: deque[int] = deque()
        self._connections: set[_Connection] = set()
        self._done: asyncio.Future[None] | None = None
        self._away_since: float | None = None

    async def run(self, connections: int) -> float:
        """Sends everything; gives the seconds it took. Raises Unreachable when the server stays away."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        opened = [await self._connect() for _ in range(connections)]
        began = time.monotonic()
        for connection in opened:
            connection.fill(self.pipeline)
        await self._done
        seconds = time.monotonic() - began
        for connection in list(self._connections):
            connection.close()
        return seconds

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(self, loop), self._host, self._port)
            await connection.greeted
        except OSError as error:
            raise Unreachable(
                f"no server answers at {self._host} port {self._port}: {error.strerror or 'refused'}",
                hint="start one with `make run`, or say where it is with --host and --port",
            ) from error
        self._connections.add(connection)
        return connection

    def take(self, limit: int) -> list[int]:
        """Numbers of the orders to send next."""
        numbers = [self._again.popleft() for _ in range(min(limit, len(self._again)))]
        fresh = min(limit - len(numbers), self.workload.size - self._next)
        numbers.extend(range(self._next, self._next + fresh))
        self._next += fresh
        return numbers

    def again(self, numbers: list[int], seconds: float) -> None:
        """These orders are to be sent again after a pause."""

        def ready() -> None:
            self._again.extend(numbers)
            for connection in self._connections:
                connection.fill(self.pipeline - connection.in_flight)

        asyncio.get_running_loop().call_later(seconds, ready)

    def settled(self) -> None:
        """Something was answered for good."""
        if self.measure.settled >= self.workload.size and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def lost(self, connection: "_Connection", numbers: list[int]) -> None:
        """A connection broke with these orders in flight."""
        self._connections.discard(connection)
        if self._done is None or self._done.done():
            return
        if self.workload.keyed:
            self._again.extendleft(reversed(numbers))
        else:
            self.measure.unknown += len(numbers)
            self.settled()
        asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        loop = asyncio.get_running_loop()
        since = self._away_since = self._away_since or loop.time()
        while self._done is not None and not self._done.done():
            try:
                connection = await self._connect()
            except Unreachable as error:
                if loop.time() - since > _AWAY_SECONDS:
                    self._done.set_exception(error)
                    return
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            self._away_since = None
            self.measure.reconnections += 1
            connection.fill(self.pipeline)
            return


class _Connection(asyncio.Protocol):
    def __init__(self, generator: Generator, loop: asyncio.AbstractEventLoop) -> None:
        self.greeted: asyncio.Future[None] = loop.create_future()
        self._generator = generator
        self._decode: Callable[[bytes], list[_Answer]] = msgspec.json.Decoder(_Answer).decode_lines
        self._held = b""
        self._flight: deque[int] = deque()
        self._sent: deque[tuple[float, int]] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def in_flight(self) -> int:
        return len(self._flight)

    def fill(self, room: int) -> None:
        """Sends as many orders as there is room for."""
        if self._transport is None or room <= 0:
            return
        numbers = self._generator.take(room)
        if numbers:
            line = self._generator.workload.line
            self._flight.extend(numbers)
            self._sent.append((time.monotonic(), len(numbers)))
            self._transport.write(b"".join([line(number) for number in numbers]))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        cut = data.rfind(b"\n") + 1
        self._held = data[cut:]
        if not cut:
            return
        answers = self._decode(data[:cut])
        if not self.greeted.done():
            self.greeted.set_result(None)
            answers = answers[1:]
        if answers:
            self._take(answers)

    def _take(self, answers: list[_Answer]) -> None:
        measure = self._generator.measure
        full: list[int] = []
        pause = 0
        popleft = self._flight.popleft
        for answer in answers:
            if answer.success is None or not self._flight:
                continue
            number = popleft()
            if answer.success:
                measure.accepted += 1
                measure.duplicates += answer.duplicate
                measure.ids[number] = answer.id
                continue
            measure.refused[answer.error] += 1
            if answer.error == "queue_full":
                full.append(number)
                pause = max(pause, answer.retry_after_ms)
        self._time(len(answers))
        if full:
            self._generator.again(full, pause / 1000)
        self._generator.settled()
        self.fill(self._generator.pipeline - len(self._flight))

    def _time(self, answers: int) -> None:
        now = time.monotonic()
        while answers and self._sent:
            sent, count = self._sent[0]
            part = min(count, answers)
            self._generator.measure.took(int((now - sent) * 1e6), part)
            answers -= part
            if part == count:
                self._sent.popleft()
            else:
                self._sent[0] = (sent, count - part)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError(0, "the connection ended before the greeting"))
            return
        self._generator.lost(self, list(self._flight))
