"""One TCP connection: bytes into requests, answers into bytes, within limits."""

import asyncio
from typing import Protocol, cast

from msgspec import Struct

from shared.domain.errors import Timeout, Unavailable
from shared.wire.framing import Frame, Framer
from shared.wire.replies import failure, line


class Limits(Struct, frozen=True):
    """What one connection may take; see section 6 of docs/PROTOCOL.md."""

    document_bytes: int
    depth: int
    in_flight: int
    connections: int
    unread_bytes: int
    idle_seconds: float
    stall_seconds: float
    one_shot_seconds: float


class Service(Protocol):
    """What stands behind a port. Nothing here may block."""

    def greeting(self) -> bytes:
        """What to send when a connection opens; may be empty."""

    def block(self, connection: "Connection", block: bytes) -> int:
        """Takes a block of complete lines in one go: the number of requests in it, or 0 to decline."""

    def frame(self, connection: "Connection", frame: Frame) -> None:
        """Takes one request; it is in flight until `connection.answer` has answered it."""

    def closed(self, connection: "Connection") -> None:
        """The connection is gone; what is still in flight on it has nobody to answer to."""


class Registry(Protocol):
    """What a connection needs of its server."""

    service: Service
    limits: Limits
    connections: set["Connection"]


class Connection(asyncio.Protocol):
    """The server's end of one connection."""

    __slots__ = (
        "_ending",
        "_framer",
        "_in_flight",
        "_last_heard",
        "_loop",
        "_one_shot",
        "_peer_done",
        "_reading",
        "_server",
        "_transport",
        "_unread_since",
        "observing",
    )

    def __init__(self, server: Registry, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._framer: Framer | None = None
        self._transport: asyncio.Transport | None = None
        self._one_shot: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._last_heard = 0.0
        self._unread_since: float | None = None
        self._reading = True
        self._ending = False
        self._peer_done = False
        self.observing = False
        """Whether the peer waits for events: it may then stay silent for as long as it likes."""

    # What the service calls.

    @property
    def in_flight(self) -> int:
        """Number of requests that are not answered yet."""
        return self._in_flight

    @property
    def unread_bytes(self) -> int:
        """Bytes written that the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def answer(self, data: bytes, requests: int = 1) -> None:
        """Writes the answers to the oldest `requests` in flight."""
        self._in_flight -= requests
        self.send(data)
        if self._ending and not self._in_flight:
            self._end_stream()
        elif not self._reading:
            self._resume_reading()

    def send(self, data: bytes) -> None:
        """Writes something that answers no request."""
        if self._transport is not None:
            self._transport.write(data)

    def finish(self) -> None:
        """Takes no more requests, and ends the stream once everything in flight is answered.

        What still comes in is read and dropped: closing on unread bytes would reset the connection and
        take the last answers with it.
        """
        self._ending = True
        self._resume_reading()
        if not self._in_flight:
            self._end_stream()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        if len(server.connections) >= server.limits.connections:
            full = Unavailable(
                f"the server has {server.limits.connections} connections already",
                hint="close idle connections, or raise MAX_CONNECTIONS and the limit on open files",
            )
            self.send(line(failure(full)))
            self._transport.close()
            return
        server.connections.add(self)
        self._last_heard = self._loop.time()
        self._transport.set_write_buffer_limits(high=server.limits.unread_bytes)
        if greeting := server.service.greeting():
            self.send(greeting)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._last_heard = self._loop.time()
        if self._one_shot is not None:
            self._one_shot.cancel()
            self._one_shot = None
        framer = self._framer
        if framer is not None and framer.midway:
            frames, data = framer.finish(data)
            self._take(framer, frames)
        if data:
            self._take_all(data)
        framer = self._framer
        if framer is not None and framer.unterminated and not self._ending:
            delay = self._server.limits.one_shot_seconds
            self._one_shot = self._loop.call_later(delay, self._end_one_shot)
        if self._in_flight >= self._server.limits.in_flight and not self._ending:
            self._pause_reading()

    def _take_all(self, data: bytes) -> None:
        """Complete lines go to the service as one block; what it declines is framed one by one."""
        cut = data.rfind(b"\n") + 1
        # A block within the limit cannot hold a document beyond it.
        if 0 < cut <= self._server.limits.document_bytes:
            requests = self._server.service.block(self, data if cut == len(data) else data[:cut])
            if requests:
                self._in_flight += requests
                data = data[cut:]
                if self._framer is not None:
                    self._framer.unterminated = False
                if not data:
                    return
        if self._framer is None:
            limits = self._server.limits
            self._framer = Framer(document_bytes=limits.document_bytes, depth=limits.depth)
        self._take(self._framer, self._framer.feed(data))

    def _take(self, framer: Framer, frames: list[Frame]) -> None:
        if replies := framer.take_replies():
            self.send(replies)
        for frame in frames:
            self._in_flight += 1
            self._server.service.frame(self, frame)
            if self._ending:
                break

    def eof_received(self) -> bool:
        self._peer_done = True
        if self._framer is not None and not self._ending:
            self._take(self._framer, self._framer.end())
        self.finish()
        return True

    def pause_writing(self) -> None:
        self._unread_since = self._loop.time()
        self._pause_reading()

    def resume_writing(self) -> None:
        self._unread_since = None
        self._resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._one_shot is not None:
            self._one_shot.cancel()
        self._transport = None
        self._ending = True
        if self in self._server.connections:
            self._server.connections.remove(self)
            self._server.service.closed(self)

    # Limits.

    def sweep(self, now: float) -> None:
        """Ends the connection if its peer has been silent, or deaf, for too long."""
        limits = self._server.limits
        silent = now - self._last_heard
        if self._unread_since is not None:
            if now - self._unread_since > limits.stall_seconds:
                self.abort()
        elif self._ending:
            if silent > limits.stall_seconds:
                self.abort()
        elif self._framer is not None and self._framer.midway and silent > limits.stall_seconds:
            self._time_out(f"a request stayed unfinished for {limits.stall_seconds:g} s")
        elif silent > limits.idle_seconds and not self.observing and not self._in_flight:
            self._time_out(f"nothing was sent for {limits.idle_seconds:g} s")

    def abort(self) -> None:
        """Cuts the connection and frees what waits to be written, which a plain close would not."""
        if self._transport is not None:
            self._transport.abort()

    def _time_out(self, message: str) -> None:
        self.send(line(failure(Timeout(message, hint="connect again"))))
        self.finish()

    def _end_one_shot(self) -> None:
        self._one_shot = None
        if not self.observing:
            self.finish()

    def _end_stream(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._peer_done:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _pause_reading(self) -> None:
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._reading = False

    def _resume_reading(self) -> None:
        if self._reading or self._transport is None or self._transport.is_closing():
            return
        busy = self._unread_since is not None or self._in_flight >= self._server.limits.in_flight
        if busy and not self._ending:
            return
        self._reading = True
        self._transport.resume_reading()
