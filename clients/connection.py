"""A connection to a server: sends documents as lines and matches answers to requests by their order."""

import asyncio
from collections import deque
from typing import cast

import msgspec
from msgspec import Struct

from clients.errors import ConnectionLost, Unreachable
from clients.replies import SUCCESS

_WAITING_EVENTS = 1000


class _LineHead(Struct):
    """The members that distinguish events, answers and messages about the connection."""

    event: str | None = None
    success: bool | None = None
    error: str | None = None
    message: str = ""


_decode = msgspec.json.Decoder[_LineHead | list[_LineHead]](_LineHead | list[_LineHead]).decode


class _UnmatchedLine(Exception):
    """A line answers no request, so later lines cannot be matched to requests."""


class ClientConnection(asyncio.Protocol):
    """A connection with any number of requests in flight; `clients.connector` opens it.

    With `greeted`, the server sends a greeting first. Answers and events are returned as undecoded lines of JSON.
    """

    def __init__(self, *, greeted: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._greeted = greeted
        self.hello: asyncio.Future[None] = self._loop.create_future()
        self.last_heard = 0.0
        """Time of the last read, by the loop's clock."""
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pending: deque[tuple[asyncio.Future[bytes], float | None]] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._unsent: list[bytes] = []
        self._opening = b"\n"
        """Prefix of the first request: an empty line announces that the connection is kept for later requests."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def read_clock(self) -> float:
        """Returns the time of the loop's clock."""
        return self._loop.time()

    def send_request(self, document: bytes, deadline: float | None = None) -> "asyncio.Future[bytes]":
        """Sends one document and returns the future of its answer.

        The future raises ConnectionLost, and TimeoutError at the deadline.
        """
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(_connection_lost_error())
        else:
            self._pending.append((answer, deadline))
            if deadline is not None and self._expiry is None:
                self._expiry = self._loop.call_at(deadline, self._expire_requests)
            if not self._unsent:
                # All requests of one turn of the event loop go out with one write.
                self._loop.call_soon(self._flush_requests)
            self._unsent.append(document)
        return answer

    def _expire_requests(self) -> None:
        """Fails the requests whose deadline has passed, and sets the one timer to the next deadline."""
        now = self._loop.time()
        following: float | None = None
        for answer, deadline in self._pending:
            if deadline is None or answer.done():
                continue
            if deadline <= now:
                answer.set_exception(TimeoutError())
            elif following is None or deadline < following:
                following = deadline
        self._expiry = None if following is None else self._loop.call_at(following, self._expire_requests)

    def _flush_requests(self) -> None:
        if self._unsent and self._transport is not None:
            self._unsent.append(b"")
            self._transport.write(self._opening + b"\n".join(self._unsent))
            self._opening = b""
        self._unsent.clear()

    async def next_event(self) -> bytes | None:
        """Returns the next event of a subscription; None after the end of the connection."""
        event = await self._events.get()
        if self._events.qsize() <= _WAITING_EVENTS and self._transport is not None:
            self._transport.resume_reading()
        return event

    def close(self) -> None:
        """Closes the connection once everything is sent."""
        self._flush_requests()
        if self._transport is None:
            return
        if self._transport.get_extra_info("sslcontext") is None:
            self._transport.close()
        else:
            # A TLS close would make the peer send a close_notify that nothing reads. All requests are answered by then.
            self._transport.abort()

    def abort(self) -> None:
        """Closes the connection at once, without sending what waits."""
        if self._transport is not None:
            self._transport.abort()

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._greeted:
            self.hello.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        self._received += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._received).split(b"\n")
        self._received = bytearray(rest)
        for line in lines:
            try:
                self._handle_line(line)
            except (msgspec.DecodeError, UnicodeDecodeError, _UnmatchedLine):
                # Later lines could be matched to the wrong requests.
                self.abort()
                return

    def _handle_line(self, line: bytes) -> None:
        """Resolves the request or queues the event that a line is for.

        Raises _UnmatchedLine for a message about the connection, and for a line that is not of the protocol.
        """
        if line.startswith(SUCCESS) and self._pending and self.hello.done():
            # The common case, decided without decoding.
            answer, _ = self._pending.popleft()
            if not answer.done():
                answer.set_result(line)
            return
        message = _decode(line)
        if isinstance(message, _LineHead) and message.event is not None:
            if not self.hello.done():
                self.hello.set_result(None)
                return
            self._events.put_nowait(line)
            if self._events.qsize() > _WAITING_EVENTS and self._transport is not None:
                # Bounds the memory here; the server has its own bound for slow readers.
                self._transport.pause_reading()
            return
        if not self.hello.done():
            self.hello.set_exception(_greeting_error(message))
            raise _UnmatchedLine
        if not self._pending or not _is_answer(message):
            raise _UnmatchedLine
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
                answer.set_exception(_connection_lost_error())
        self._pending.clear()
        self._events.put_nowait(None)


def _is_answer(message: "_LineHead | list[_LineHead]") -> bool:
    """Whether a line answers a request. A `timeout` does not: it announces that the server closes the connection."""
    return isinstance(message, list) or (message.success is not None and message.error != "timeout")


def _greeting_error(message: "_LineHead | list[_LineHead]") -> Unreachable:
    if isinstance(message, _LineHead) and message.message:
        return Unreachable(f"the server refuses: {message.message}")
    return Unreachable("no order intake answers there")


def _connection_lost_error() -> ConnectionLost:
    return ConnectionLost(
        "the connection ended before the answer", hint="an order with a request_id can be sent again safely"
    )
