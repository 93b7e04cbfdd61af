"""The client that drives every server alike: a window of requests in flight on each connection.

What is sent is ready before the clock starts, and of the answers only their number and errors are looked at,
so that the server is what is measured.
"""

import asyncio
import itertools
import time
from typing import NamedTuple, cast

import uvloop


class Dialect(NamedTuple):
    """How requests and answers of one kind of server look."""

    requests: list[bytes]
    """Ready to be sent, in turn."""
    answer: bytes
    """Stands once in every positive answer, and in nothing else."""
    greeting: bytes = b""
    """Ends what the server says before it is asked; nothing if it keeps quiet."""


class Outcome(NamedTuple):
    """What one drive measured."""

    answers: int
    seconds: float
    client_cpu: float
    """Seconds of CPU that the driver itself took."""
    waits: list[float]
    """Seconds from each request to its answer, in ascending order; only with one in flight."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 answers take, in milliseconds."""
        return self.waits[len(self.waits) * 99 // 100] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, dialect: Dialect, window: int, drive: "_Drive") -> None:
        self._dialect = dialect
        self._window = window
        self._drive = drive
        self._next = itertools.cycle(dialect.requests).__next__
        self._tail = b""
        self._open = 0
        self.greeted = asyncio.get_running_loop().create_future()
        if not dialect.greeting:
            self.greeted.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, requests: int) -> None:
        self._open += requests
        self._sent = time.perf_counter()
        self._transport.write(b"".join([self._next() for _ in range(requests)]))

    def start(self) -> None:
        self.send(self._window)

    def data_received(self, data: bytes) -> None:
        if not self.greeted.done():
            if data.endswith(self._dialect.greeting):
                self.greeted.set_result(None)
            return
        # A marker may be cut in two: what could be its beginning is kept for the next piece.
        data = self._tail + data
        marker = self._dialect.answer
        answers = data.count(marker)
        last = data.rfind(marker)
        keep = len(marker) - 1
        self._tail = data[max(len(data) - keep, last + len(marker) if last >= 0 else 0) :] if keep else b""
        if answers:
            self._open -= answers
            self._drive.took(answers)
            if self._window == 1:
                self._drive.waits.append(time.perf_counter() - self._sent)
            if not self._drive.over:
                self.send(answers)
        if self._drive.over and not self._open:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drive.lost(self._open)


class _Drive:
    def __init__(self, connections: int, limit: int | None) -> None:
        self.answers = 0
        self.waits: list[float] = []
        self.over = False
        self._limit = limit
        self._left = connections
        self.ended = asyncio.get_running_loop().create_future()

    def took(self, answers: int) -> None:
        self.answers += answers
        if self._limit is not None and self.answers >= self._limit:
            self.over = True

    def lost(self, unanswered: int) -> None:
        self._left -= 1
        if unanswered and not self.ended.done():
            self.ended.set_exception(RuntimeError(f"a connection ended with {unanswered} requests unanswered"))
        elif not self._left and not self.ended.done():
            self.ended.set_result(None)


def drive(
    port: int, dialect: Dialect, *, connections: int, window: int, seconds: float, limit: int | None = None
) -> Outcome:
    """Drives the server for so long, or until `limit` answers; then waits for what is in flight.

    Raises RuntimeError when a connection ends early.
    """

    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        course = _Drive(connections, limit)
        opened = []
        for _ in range(connections):
            _, one = await loop.create_connection(lambda: _Connection(dialect, window, course), "127.0.0.1", port)
            await one.greeted
            opened.append(one)
        began, cpu = time.perf_counter(), time.process_time()
        for one in opened:
            one.start()

        def stop() -> None:
            course.over = True

        timer = loop.call_later(seconds, stop)
        await course.ended
        timer.cancel()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        return Outcome(course.answers, took, cpu, sorted(course.waits))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
