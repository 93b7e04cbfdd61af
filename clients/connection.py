"""One connection to a server: lines out, lines in, answers matched to requests by their order."""

import asyncio
from collections import deque
from typing import cast

import msgspec
from msgspec import Struct

from clients.errors import ConnectionLost, Unreachable
from clients.replies import SUCCESS

_WAITING_EVENTS = 1000


class _Head(Struct):
    """What tells events, answers and farewells from one another."""

    event: str | None = None
    success: bool | None = None
    error: str | None = None
    message: str = ""


_decode = msgspec.json.Decoder[_Head | list[_Head]](_Head | list[_Head]).decode


class _Ended(Exception):
    """Nothing that follows on this connection answers a request."""


class ClientConnection(asyncio.Protocol):
    """A connection to be opened with `clients.connector`, to a server that speaks first if `greeted`.

    Any number of requests may be in flight.

    Answers and events are given as their lines of JSON: what they mean is the client's to know.
    """

    def __init__(self, *, greeted: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._greeted = greeted
        self.hello: asyncio.Future[None] = self._loop.create_future()
        self.last_heard = 0.0
        """When something was last read, by the loop's clock."""
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pending: deque[tuple[asyncio.Future[bytes], float | None]] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()
        self._unsent: list[bytes] = []
        self._opening = b"\n"
        """What comes before the first request: an empty line says that the connection is kept for later requests."""

    @property
    def open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def request(self, document: bytes, deadline: float | None = None) -> "asyncio.Future[bytes]":
        """Sends one document; the future gets its answer, or ConnectionLost; at the deadline TimeoutError."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(_lost())
        else:
            self._pending.append((answer, deadline))
            if deadline is not None and self._expiry is None:
                self._expiry = self._loop.call_at(deadline, self._expire)
            if not self._unsent:
                # What is asked in one turn of the event loop goes out together.
                self._loop.call_soon(self._flush)
            self._unsent.append(document)
        return answer

    def _expire(self) -> None:
        """One timer for all that wait: the next is for the one whose time ends first then."""
        now = self._loop.time()
        following: float | None = None
        for answer, deadline in self._pending:
            if deadline is None or answer.done():
                continue
            if deadline <= now:
                answer.set_exception(TimeoutError())
            elif following is None or deadline < following:
                following = deadline
        self._expiry = None if following is None else self._loop.call_at(following, self._expire)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._unsent.append(b"")
            self._transport.write(self._opening + b"\n".join(self._unsent))
            self._opening = b""
        self._unsent.clear()

    async def event(self) -> bytes | None:
        """The next event of `watch`; None when the connection has ended."""
        event = await self._events.get()
        if self._events.qsize() <= _WAITING_EVENTS and self._transport is not None:
            self._transport.resume_reading()
        return event

    def close(self) -> None:
        """Ends the connection once everything is sent."""
        self._flush()
        if self._transport is None:
            return
        if self._transport.get_extra_info("sslcontext") is None:
            self._transport.close()
        else:
            # A goodbye over TLS is answered, and whoever closes does not wait for that. All that was sent is answered.
            self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._greeted:
            self.hello.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        self._held += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        for line in lines:
            try:
                self._take(line)
            except (msgspec.DecodeError, UnicodeDecodeError, _Ended):
                # Whatever follows cannot be matched to a request.
                self.abort()
                return

    def _take(self, line: bytes) -> None:
        """One line. Raises _Ended when the server speaks of the connection, or not in its protocol."""
        if line.startswith(SUCCESS) and self._pending and self.hello.done():
            # Nearly every line: no need to look further for what it is.
            answer, _ = self._pending.popleft()
            if not answer.done():
                answer.set_result(line)
            return
        message = _decode(line)
        if isinstance(message, _Head) and message.event is not None:
            if not self.hello.done():
                self.hello.set_result(None)
                return
            self._events.put_nowait(line)
            if self._events.qsize() > _WAITING_EVENTS and self._transport is not None:
                # The server knows what to do about slow readers; here they would fill the memory.
                self._transport.pause_reading()
            return
        if not self.hello.done():
            self.hello.set_exception(_no_greeting(message))
            raise _Ended
        if not self._pending or not _is_answer(message):
            raise _Ended
        answer, _ = self._pending.popleft()
        if not answer.done():
            answer.set_result(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.hello.done():
            self.hello.set_exception(Unreachable("the connection ended before the greeting"))
        if self._expiry is not None:
            self._expiry.cancel()
        for answer, _ in self._pending:
            if not answer.done():
                answer.set_exception(_lost())
        self._pending.clear()
        self._events.put_nowait(None)


def _is_answer(message: "_Head | list[_Head]") -> bool:
    """Whether a line answers a request: a `timeout` is about the connection, which the server then closes."""
    return isinstance(message, list) or (message.success is not None and message.error != "timeout")


def _no_greeting(message: "_Head | list[_Head]") -> Unreachable:
    if isinstance(message, _Head) and message.message:
        return Unreachable(f"the server refuses: {message.message}")
    return Unreachable("no order intake answers there")


def _lost() -> ConnectionLost:
    return ConnectionLost(
        "the connection ended before the answer", hint="an order with a request_id can be sent again safely"
    )
