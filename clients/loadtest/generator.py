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

from clients.dial import dial
from clients.errors import Unreachable
from clients.loadtest.measure import TEMPORARY, Measure
from clients.loadtest.workload import Workload

_RETRY_SECONDS = 0.2
_AWAY_SECONDS = 60.0
_CHECK_SECONDS = 3.0
_SILENT_CHECKS = 10


class _Answer(Struct):
    success: bool | None = None
    event: str | None = None
    id: str = ""
    error: str = ""
    message: str = ""
    duplicate: bool = False
    retry_after_ms: int | None = None


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
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] | None = None

    async def run(self, connections: int) -> float:
        """Sends everything; gives the seconds it took. Raises Unreachable when the server stays away."""
        self._done = asyncio.get_running_loop().create_future()
        checking = asyncio.create_task(self._give_up_silent())
        try:
            opened = [await self._connect() for _ in range(connections)]
            began = time.monotonic()
            for connection in opened:
                connection.fill()
            await self._done
            return time.monotonic() - began
        finally:
            self._done.cancel()
            checking.cancel()
            for task in self._reconnecting:
                task.cancel()
            for connection in list(self._connections):
                connection.close()

    async def _connect(self) -> "_Connection":
        connection = await dial(lambda: _Connection(self), self._host, self._port)
        if connection.open:
            self._connections.add(connection)
        return connection

    async def _give_up_silent(self) -> None:
        """Ends connections that owe answers and stay silent, as when the server's machine has vanished."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for connection in list(self._connections):
                connection.check()

    def take(self, limit: int) -> list[int]:
        """Numbers of the orders to send next."""
        numbers = [self._again.popleft() for _ in range(min(limit, len(self._again)))]
        fresh = min(limit - len(numbers), self.workload.size - self._next)
        numbers.extend(range(self._next, self._next + fresh))
        self._next += fresh
        self.measure.sent += len(numbers)
        return numbers

    def again(self, numbers: list[int], seconds: float) -> None:
        """These orders are to be sent again after a pause."""

        def ready() -> None:
            self._again.extend(numbers)
            for connection in self._connections:
                connection.fill()

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
                connection.fill()
                return


class _Connection(asyncio.Protocol):
    def __init__(self, generator: Generator) -> None:
        self.hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._generator = generator
        self._decode: Callable[[bytes], list[_Answer]] = msgspec.json.Decoder(_Answer).decode_lines
        self._held = b""
        self._flight: deque[int] = deque()
        self._sent: deque[tuple[float, int]] = deque()
        self._transport: asyncio.Transport | None = None
        # Checks and not seconds: after a standstill of this process, what has come in is read first.
        self._silent_checks = 0

    @property
    def open(self) -> bool:
        return self._transport is not None

    def fill(self) -> None:
        """Sends as many orders as there is room for."""
        room = self._generator.pipeline - len(self._flight)
        if self._transport is None or room <= 0:
            return
        numbers = self._generator.take(room)
        if numbers:
            line = self._generator.workload.line
            self._flight.extend(numbers)
            self._sent.append((time.monotonic(), len(numbers)))
            self._transport.write(b"".join([line(number) for number in numbers]))

    def check(self) -> None:
        """Ends the connection when answers are due and nothing was read for many checks in a row."""
        self._silent_checks = self._silent_checks + 1 if self._flight else 0
        if self._silent_checks > _SILENT_CHECKS:
            self.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._silent_checks = 0
        if self._held:
            data = self._held + data
        cut = data.rfind(b"\n") + 1
        self._held = data[cut:]
        if not cut:
            return
        try:
            answers = self._decode(data[:cut])
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What cannot be read cannot be matched to an order, nor can anything behind it.
            self.abort()
            return
        if not self.hello.done() and answers:
            hello = answers.pop(0)
            if hello.event is None:
                self.hello.set_exception(Unreachable(hello.message or "no order intake answers there"))
                return
            self.hello.set_result(None)
        if answers:
            self._take(answers)

    def _take(self, answers: list[_Answer]) -> None:
        measure = self._generator.measure
        refused: list[int] = []
        pause = 0.0
        before = len(self._flight)
        popleft = self._flight.popleft
        for answer in answers:
            if answer.success is None:
                continue
            if not self._flight or answer.error == "timeout":
                # The server speaks of the connection, and is about to close it.
                self.abort()
                break
            number = popleft()
            if answer.success:
                measure.accepted += 1
                measure.duplicates += answer.duplicate
                measure.ids[number] = answer.id
                continue
            measure.refused[answer.error] += 1
            if answer.error in TEMPORARY:
                refused.append(number)
                asked = answer.retry_after_ms
                pause = max(pause, _RETRY_SECONDS if asked is None else asked / 1000)
        self._time(before - len(self._flight))
        if refused:
            self._generator.again(refused, pause)
        self._generator.settled()
        self.fill()

    def _time(self, answers: int) -> None:
        now = time.monotonic()
        while answers:
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
        if not self.hello.done():
            self.hello.set_exception(Unreachable("the connection ended before the greeting"))
        elif not self.hello.cancelled() and self.hello.exception() is None:
            self._generator.lost(self, list(self._flight))
