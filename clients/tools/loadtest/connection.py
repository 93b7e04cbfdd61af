"""One connection of a load test, which keeps a window of orders in flight.

It is minimal, so that the server limits the measurement: no task and no future for an order, one write and one decode
for a whole window.
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
from clients.tools.loadtest.measurements import TEMPORARY, Measurements
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.workload import Workload

_SILENT_CHECKS = 10


class _OrderAnswer(Struct):
    success: bool | None = None
    event: str | None = None
    id: str = ""
    error: str = ""
    message: str = ""
    duplicate: bool = False
    retry_after_ms: int | None = None


class OrderSource(Protocol):
    """The run that a connection belongs to."""

    workload: Workload
    measure: Measurements
    plan: Plan

    def take_numbers(self, limit: int) -> list[int]:
        """Returns the numbers of the orders to send next."""

    def due_times(self, numbers: list[int]) -> list[tuple[float, int]]:
        """Returns the times when these orders were due, each with the number of orders due then."""

    def send_again(self, numbers: list[int], seconds: float | None) -> None:
        """Schedules these orders to be sent again after a pause."""

    def report_settled(self) -> None:
        """Reports that an order has its final answer."""

    def report_lost_connection(self, connection: "LoadConnection", numbers: list[int]) -> None:
        """Reports a broken connection, and the orders that were in flight on it."""


class LoadConnection(asyncio.Protocol):
    """Sends the orders of its run, and records the answers."""

    def __init__(self, run: OrderSource, family: socket.AddressFamily) -> None:
        self.hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.family = family
        self._run = run
        self._decode: Callable[[bytes], list[_OrderAnswer]] = msgspec.json.Decoder(_OrderAnswer).decode_lines
        self._held = b""
        self._flight: deque[int] = deque()
        self._due: deque[tuple[float, int]] = deque()
        self._transport: asyncio.Transport | None = None
        self._opening = b"\n"
        """Bytes before the first order: an empty line tells the server that the connection stays open."""
        # Checks instead of seconds: after a pause of this process, received data is read first.
        self._silent_checks = 0

    @property
    def is_open(self) -> bool:
        """Whether it can send."""
        return self._transport is not None

    @property
    def in_flight(self) -> int:
        """The number of orders without an answer."""
        return len(self._flight)

    def send_orders(self, limit: int) -> None:
        """Sends as many orders as the window allows, at most `limit`."""
        room = min(self._run.plan.pipeline - len(self._flight), limit)
        if self._transport is None or room <= 0:
            return
        numbers = self._run.take_numbers(room)
        if numbers:
            line = self._run.workload.format_line
            self._flight.extend(numbers)
            self._due.extend(self._run.due_times(numbers))
            self._transport.write(self._opening + b"".join([line(number) for number in numbers]))
            self._opening = b""

    def check_silence(self) -> None:
        """Aborts the connection if answers are due and nothing was read for many checks in a row."""
        self._silent_checks = self._silent_checks + 1 if self._flight else 0
        if self._silent_checks > _SILENT_CHECKS:
            self.abort()

    def close(self) -> None:
        """Closes the connection after all data is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes the connection at once."""
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
            # An unreadable answer cannot be matched to an order, nor can any later one.
            self.abort()
            return
        if not self.hello.done() and answers:
            hello = answers.pop(0)
            if hello.event is None:
                self.hello.set_exception(Unreachable(hello.message or "no order intake answers there"))
                return
            self.hello.set_result(None)
        if answers:
            self._process_answers(answers)

    def _process_answers(self, answers: list[_OrderAnswer]) -> None:
        measure = self._run.measure
        refused: list[int] = []
        pause: float | None = None
        before, accepted = len(self._flight), 0
        popleft = self._flight.popleft
        for answer in answers:
            if answer.success is None:
                continue
            if not self._flight or answer.error == "timeout":
                # The error concerns the connection, which the server is about to close.
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
        measure.record_answers(now, accepted, self._list_waits(before - len(self._flight), now))
        if refused:
            self._run.send_again(refused, pause)
        self._run.report_settled()
        self.send_orders(self._run.plan.pipeline)

    def _list_waits(self, answers: int, now: float) -> list[tuple[int, int]]:
        """Returns the waiting times of the oldest requests in microseconds, each with the number of requests."""
        found: list[tuple[int, int]] = []
        while answers:
            due_times, count = self._due[0]
            part = min(count, answers)
            found.append((int((now - due_times) * 1e6), part))
            answers -= part
            if part == count:
                self._due.popleft()
            else:
                self._due[0] = (due_times, count - part)
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.hello.done():
            self.hello.set_exception(Unreachable("the connection ended before the greeting"))
        elif not self.hello.cancelled() and self.hello.exception() is None:
            self._run.report_lost_connection(self, list(self._flight))
