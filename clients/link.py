"""One connection to the intake: lines out, lines in, answers matched to requests by their order."""

import asyncio
from collections import deque
from typing import Any, cast

import msgspec

from clients.errors import ConnectionLost, Unreachable

_WAITING_EVENTS = 1000


class Link(asyncio.Protocol):
    """A connection to be opened with `clients.dial`. Any number of requests may be in flight."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[None] = self._loop.create_future()
        self.last_heard = 0.0
        """When something was last read, by the loop's clock."""
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()

    @property
    def open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def request(self, document: bytes) -> "asyncio.Future[Any]":
        """Sends one document; the future gets its answer, or ConnectionLost."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(_lost())
        else:
            self._pending.append(answer)
            self._transport.write(document + b"\n")
        return answer

    async def event(self) -> dict[str, Any] | None:
        """The next event of `watch`; None when the connection has ended."""
        event = await self._events.get()
        if self._events.qsize() <= _WAITING_EVENTS and self._transport is not None:
            self._transport.resume_reading()
        return event

    def close(self) -> None:
        """Ends the connection once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        self._held += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        for line in lines:
            try:
                self._take(msgspec.json.decode(line))
            except (msgspec.DecodeError, _Ended):
                # Whatever follows cannot be matched to a request.
                self.abort()
                return

    def _take(self, message: Any) -> None:
        """One line. Raises _Ended when the server speaks of the connection, or not in its protocol."""
        if isinstance(message, dict) and "event" in message:
            if self.hello.done():
                self._events.put_nowait(message)
                if self._events.qsize() > _WAITING_EVENTS and self._transport is not None:
                    # The server knows what to do about slow readers; here they would fill the memory.
                    self._transport.pause_reading()
            else:
                self.hello.set_result(None)
            return
        if not self.hello.done() or not self._pending or not _is_answer(message):
            if not self.hello.done():
                self.hello.set_exception(_refused(message))
            raise _Ended
        answer = self._pending.popleft()
        if not answer.done():
            answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.hello.done():
            self.hello.set_exception(Unreachable("the connection ended before the greeting"))
        for answer in self._pending:
            if not answer.done():
                answer.set_exception(_lost())
        self._pending.clear()
        self._events.put_nowait(None)


class _Ended(Exception):
    """Nothing that follows on this connection answers a request."""


def _is_answer(message: Any) -> bool:
    """Whether a line answers a request: a `timeout` is about the connection, which the server then closes."""
    if isinstance(message, dict):
        return "success" in message and message.get("error") != "timeout"
    return isinstance(message, list)


def _refused(message: Any) -> Unreachable:
    if isinstance(message, dict) and "message" in message:
        return Unreachable(f"the server refuses: {message['message']}")
    return Unreachable("no order intake answers there")


def _lost() -> ConnectionLost:
    return ConnectionLost(
        "the connection ended before the answer", hint="an order with a request_id can be sent again safely"
    )
