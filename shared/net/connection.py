"""One TCP connection: bytes into requests, answers into bytes, within limits."""

import asyncio
from typing import Protocol, cast

from shared.domain.errors import Timeout, Unavailable
from shared.net.addresses import plain_address
from shared.net.limits import Limits
from shared.wire.framing import Frame, Framer, ends_stream
from shared.wire.replies import encode_line, error_reply

# What is not plain orders is looked at in pieces this small, for at most so long at a time: other
# connections get their turn in between, and what a piece asks for cannot cost memory without bound.
_PIECE_BYTES = 1024
_SLICE_SECONDS = 0.005
_NEWLINE = 0x0A


class Service(Protocol):
    """The service of a port. No method may block."""

    def greeting(self) -> bytes:
        """Returns the first bytes to send on a new connection; may be empty."""

    def block(self, connection: "Connection", block: bytes) -> int:
        """Takes a block of complete lines in one go: the number of requests in it, or 0 to decline."""

    def frame(self, connection: "Connection", frame: Frame) -> None:
        """Takes one request; it is in flight until `connection.answer` has answered it."""

    def closed(self, connection: "Connection") -> None:
        """The connection is gone; what is still in flight on it has nobody to answer to."""


class ConnectionServer(Protocol):
    """The server as its connections see it."""

    service: Service
    limits: Limits

    def admit(self, connection: "Connection") -> Unavailable | None:
        """Counts a new connection, or returns why there is no place for it."""

    def release(self, connection: "Connection") -> None:
        """A connection that was admitted is gone."""


class Connection(asyncio.Protocol):
    """The server's end of one connection."""

    __slots__ = (
        "_admitted",
        "_can_half_close",
        "_ending",
        "_framer",
        "_going_on",
        "_in_flight",
        "_last_heard",
        "_limits",
        "_loop",
        "_one_shot",
        "_patient",
        "_peer",
        "_peer_done",
        "_piped",
        "_read",
        "_reading",
        "_rest",
        "_server",
        "_silent",
        "_take_block",
        "_transport",
        "_unread_since",
        "observing",
    )

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._limits = server.limits
        self._take_block = server.service.block
        self._loop = loop
        self._framer: Framer | None = None
        self._transport: asyncio.Transport | None = None
        self._one_shot: asyncio.Handle | None = None
        self._silent = False
        """Whether the time of a one-shot client is over and something is in flight still."""
        self._in_flight = 0
        self._rest = b""
        self._going_on: asyncio.Handle | None = None
        self._last_heard = 0.0
        self._unread_since: float | None = None
        self._read: asyncio.Future[None] | None = None
        """Somebody waits until the peer has read."""
        self._patient = True
        self._reading = True
        self._ending = False
        self._can_half_close = True
        self._peer: tuple[str, int] | None = None
        self._peer_done = False
        self._piped: bool | None = None
        """Whether the peer has sent everything at once, as a pipe does; None as long as it has sent nothing."""
        self._admitted = False
        self.observing = False
        """Whether the peer waits for events: it may then stay silent for as long as it likes."""

    # What the service calls.

    @property
    def in_flight(self) -> int:
        """Number of requests that are not answered yet."""
        return self._in_flight

    @property
    def peer_address(self) -> str:
        """The address that it comes from, also once the connection is gone."""
        return plain_address(self._peer[0]) if self._peer else "unknown"

    @property
    def unread_bytes(self) -> int:
        """Bytes written that the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def answer(self, data: bytes, requests: int = 1) -> None:
        """Writes the answers to the oldest `requests` in flight."""
        self._in_flight -= requests
        if self._transport is not None:
            self._transport.write(data)
        if self._silent and not self._in_flight:
            # Soon, and not at once: a subscriber counts as one when the service is through with its request.
            self._silent = False
            self._one_shot = self._loop.call_soon(self._end_one_shot)
        if self._ending and not self._in_flight:
            self._end_stream()
        elif not self._reading:
            self._resume_reading()

    @property
    def congested(self) -> bool:
        """Whether the peer has more to read than it may before it gets another large answer."""
        return self._unread_since is not None and self._patient and self._transport is not None

    async def wait_until_read(self) -> None:
        """Returns when the connection is not congested, or gone.

        For services whose answers are large: requests of a few bytes may be in flight in thousands.
        """
        while self.congested:
            if self._read is None:
                self._read = self._loop.create_future()
            await asyncio.shield(self._read)

    def stop_waiting(self) -> None:
        """Ends `wait_until_read` for good: the server stops."""
        self._patient = False
        self._tell_read()

    def _tell_read(self) -> None:
        if self._read is not None:
            self._read.set_result(None)
            self._read = None

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
        self._rest = b""
        self._resume_reading()
        if not self._in_flight:
            self._end_stream()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = transport.get_extra_info("peername")
        self._can_half_close = transport.get_extra_info("sslcontext") is None
        server = self._server
        self._last_heard = self._loop.time()
        if (refusal := server.admit(self)) is not None:
            self.send(encode_line(error_reply(refusal)))
            self._transport.close()
            return
        self._admitted = True
        self._transport.set_write_buffer_limits(high=self._limits.unread_bytes)
        if greeting := server.service.greeting():
            self.send(greeting)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        now = self._loop.time()
        if self._piped is not False:
            pause = now - self._last_heard
            self._piped = pause < self._limits.one_shot_seconds and data[0] != _NEWLINE
        self._last_heard = now
        self._silent = False
        if self._one_shot is not None:
            self._one_shot.cancel()
            self._one_shot = None
        if self._rest:
            # It came although reading is paused: it was on its way already.
            self._rest += data
            return
        framer = self._framer
        if framer is not None and framer.is_midway:
            frames, data = framer.finish_request(data)
            self._take(framer, frames)
        if data:
            self._take_all(data)
        # In place of a call of `_busy`: this is the way of every order.
        if self._framer is not None or self._unread_since is not None or self._in_flight >= self._limits.in_flight:
            self._after_input()

    def _after_input(self) -> None:
        framer = self._framer
        if self._ending or self._rest:
            return
        if framer is not None and framer.unterminated:
            self._one_shot = self._loop.call_later(self._limits.one_shot_seconds, self._end_one_shot)
        if self._busy:
            self._pause_reading()

    @property
    def _busy(self) -> bool:
        """Whether the peer has to take answers before it may ask for more."""
        return self._unread_since is not None or self._in_flight >= self._limits.in_flight

    def _take_all(self, data: bytes) -> None:
        """Complete lines go to the service as one block; what it declines is framed one by one."""
        if self._ending:
            return
        cut = data.rfind(b"\n") + 1
        # A block within the limit cannot hold a document beyond it.
        if 0 < cut <= self._limits.document_bytes:
            requests = self._take_block(self, data if cut == len(data) else data[:cut])
            if requests:
                self._in_flight += requests
                data = data[cut:]
                if self._framer is not None:
                    self._framer.unterminated = False
                if not data:
                    return
        if self._framer is None:
            limits = self._limits
            self._framer = Framer(document_bytes=limits.document_bytes, depth=limits.depth)
        self._take_pieces(data)

    def _take_pieces(self, data: bytes) -> None:
        """Frames the data piece by piece; what there is no time or no room for waits in `_rest`."""
        framer = self._framer
        assert framer is not None
        until = self._loop.time() + _SLICE_SECONDS
        for start in range(0, len(data), _PIECE_BYTES):
            if self._busy or self._loop.time() > until:
                self._rest = data[start:]
                self._pause_reading()
                self._go_on_soon()
                return
            self._take(framer, framer.feed(data[start : start + _PIECE_BYTES]))
            if self._ending:
                return

    def _go_on_soon(self) -> None:
        if self._going_on is None and not self._busy:
            self._going_on = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Takes up what was left over when there was no time or no room for it."""
        self._going_on = None
        data, self._rest = self._rest, b""
        self._take_pieces(data)
        if not self._rest and not self._ending:
            self._after_input()
            if self._peer_done:
                self._end_of_input()
            else:
                self._resume_reading()

    def _take(self, framer: Framer, frames: list[Frame]) -> None:
        if replies := framer.take_replies():
            self.send(replies)
        for frame in frames:
            self._in_flight += 1
            self._server.service.frame(self, frame)
            if ends_stream(frame):
                # Whatever follows, it is not what it seems to be.
                self.finish()
            if self._ending:
                break

    def eof_received(self) -> bool:
        self._peer_done = True
        if not self._rest:
            self._end_of_input()
        # Over TLS there is no end of one side alone: what was answered is still sent.
        return self._can_half_close

    def _end_of_input(self) -> None:
        if self._framer is not None and not self._ending:
            self._take(self._framer, self._framer.end_stream())
        self.finish()

    def pause_writing(self) -> None:
        self._unread_since = self._loop.time()
        self._pause_reading()

    def resume_writing(self) -> None:
        self._unread_since = None
        self._tell_read()
        self._resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        for handle in (self._one_shot, self._going_on):
            if handle is not None:
                handle.cancel()
        self._transport = None
        self._tell_read()
        self._ending = True
        if self._admitted:
            self._server.release(self)
            self._server.service.closed(self)

    # Limits.

    def silence(self, now: float) -> float:
        """Returns for how many seconds the peer has asked nothing and waited for no answer."""
        return 0.0 if self._in_flight or self._rest else now - self._last_heard

    @property
    def is_passive(self) -> bool:
        """Whether the peer has sent nothing yet, or only waits for events."""
        return self._piped is None or self.observing

    def evict(self, error: Unavailable) -> None:
        """Ends the connection at once, and says why where the peer reads."""
        if self.unread_bytes:
            self.abort()
        elif self._transport is not None:
            self.send(encode_line(error_reply(error)))
            self._ending = True
            self._transport.close()

    def sweep(self, now: float) -> None:
        """Ends the connection if its peer has been silent, or deaf, for too long."""
        limits = self._limits
        silent = now - self._last_heard
        if self._unread_since is not None:
            if now - self._unread_since > limits.stall_seconds:
                self.abort()
        elif self._ending:
            if silent > limits.stall_seconds:
                self.abort()
        elif self._rest:
            # What it sent waits for us.
            pass
        elif self._framer is not None and self._framer.is_midway:
            # Not a pipe's end: the network may be slow with the rest of a document.
            if silent > limits.stall_seconds:
                self._time_out(f"nothing was sent for {limits.stall_seconds:g} s in the middle of a request")
        elif self.observing or self._in_flight:
            pass
        elif self._piped and silent > limits.piped_seconds:
            # `echo ORDER | nc HOST PORT` keeps its side open for ever, and waits for the end of ours.
            self.finish()
        elif silent > limits.idle_seconds:
            self._time_out(f"nothing was sent for {limits.idle_seconds:g} s")

    def abort(self) -> None:
        """Cuts the connection and frees what waits to be written, which a plain close would not."""
        if self._transport is not None:
            self._transport.abort()

    def _time_out(self, message: str) -> None:
        self.send(encode_line(error_reply(Timeout(message, hint="connect again"))))
        self.finish()

    def _end_one_shot(self) -> None:
        self._one_shot = None
        if self._in_flight:
            # What it has asked may make it an observer: that is known once it is answered.
            self._silent = True
        elif not self.observing:
            self.finish()

    def _end_stream(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._peer_done or not self._can_half_close:
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
        if not self._ending:
            if self._busy:
                return
            if self._rest:
                self._go_on_soon()
                return
        self._reading = True
        self._transport.resume_reading()
