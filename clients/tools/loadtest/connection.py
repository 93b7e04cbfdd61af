"""One connection of a load test, keeping a window of orders in flight.

As bare as it can be, so that the server is what is measured: no task and no future per order, one write
and one decode for a whole window.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import msgspec
from msgspec import Struct

from clients.errors import Unreachable
from clients.tools.loadtest.measure import TEMPORARY, Measure
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.workload import Workload

_SILENT_CHECKS = 10


class _Answer(Struct):
    success: bool | None = None
    event: str | None = None
    id: str = ""
    error: str = ""
    message: str = ""
    duplicate: bool = False
    retry_after_ms: int | None = None


class Run(Protocol):
    """The run that a connection belongs to."""

    workload: Workload
    measure: Measure
    plan: Plan

    def take(self, limit: int) -> list[int]:
        """Numbers of the orders to send next."""

    def due(self, numbers: list[int]) -> list[tuple[float, int]]:
        """When orders that are sent now fell due: times, and how many fell due then."""

    def again(self, numbers: list[int], seconds: float | None) -> None:
        """These orders are to be sent again after a pause."""

    def settled(self) -> None:
        """Something was answered for good."""

    def lost(self, connection: "Connection", numbers: list[int]) -> None:
        """A connection broke with these orders in flight."""


class Connection(asyncio.Protocol):
    """Sends what its run gives it, and tells the run what became of it."""

    def __init__(self, run: Run, family: socket.AddressFamily) -> None:
        self.hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.family = family
        self._run = run
        self._decode: Callable[[bytes], list[_Answer]] = msgspec.json.Decoder(_Answer).decode_lines
        self._held = b""
        self._flight: deque[int] = deque()
        self._due: deque[tuple[float, int]] = deque()
        self._transport: asyncio.Transport | None = None
        self._opening = b"\n"
        """What comes before the first order: an empty line says that the connection is kept for later ones."""
        # Checks and not seconds: after a standstill of this process, what has come in is read first.
        self._silent_checks = 0

    @property
    def open(self) -> bool:
        """Whether it can send."""
        return self._transport is not None

    @property
    def in_flight(self) -> int:
        """Orders sent and not answered."""
        return len(self._flight)

    def fill(self, limit: int) -> None:
        """Sends as many orders as there is room for, at most `limit`."""
        room = min(self._run.plan.pipeline - len(self._flight), limit)
        if self._transport is None or room <= 0:
            return
        numbers = self._run.take(room)
        if numbers:
            line = self._run.workload.line
            self._flight.extend(numbers)
            self._due.extend(self._run.due(numbers))
            self._transport.write(self._opening + b"".join([line(number) for number in numbers]))
            self._opening = b""

    def check(self) -> None:
        """Ends the connection when answers are due and nothing was read for many checks in a row."""
        self._silent_checks = self._silent_checks + 1 if self._flight else 0
        if self._silent_checks > _SILENT_CHECKS:
            self.abort()

    def close(self) -> None:
        """Ends it once everything is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
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
        measure = self._run.measure
        refused: list[int] = []
        pause: float | None = None
        before, accepted = len(self._flight), 0
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
                accepted += 1
                measure.duplicates += answer.duplicate
                measure.ids[number] = answer.id
                continue
            measure.refused[answer.error] += 1
            if answer.error in TEMPORARY:
                refused.append(number)
                if answer.retry_after_ms is not None:
                    pause = max(pause or 0.0, answer.retry_after_ms / 1000)
        now = time.monotonic()
        measure.answered(now, accepted, self._waits(before - len(self._flight), now))
        if refused:
            self._run.again(refused, pause)
        self._run.settled()
        self.fill(self._run.plan.pipeline)

    def _waits(self, answers: int, now: float) -> list[tuple[int, int]]:
        """How long the oldest requests have waited: microseconds, and how many did."""
        found: list[tuple[int, int]] = []
        while answers:
            due, count = self._due[0]
            part = min(count, answers)
            found.append((int((now - due) * 1e6), part))
            answers -= part
            if part == count:
                self._due.popleft()
            else:
                self._due[0] = (due, count - part)
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.hello.done():
            self.hello.set_exception(Unreachable("the connection ended before the greeting"))
        elif not self.hello.cancelled() and self.hello.exception() is None:
            self._run.lost(self, list(self._flight))
