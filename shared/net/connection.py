"""One TCP connection: the transport and the timer around its `ConnectionState`."""

import asyncio
from functools import partial
from typing import Protocol, cast

from shared.domain.errors import Unavailable
from shared.net.addresses import plain_address
from shared.net.connection_state import CLOSED, ENDED, ConnectionState
from shared.net.limits import Limits
from shared.wire.framing import Frame
from shared.wire.replies import encode_line, error_reply


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
        """A connection is gone."""


class Connection(asyncio.Protocol):
    """The server's end of one connection."""

    __slots__ = (
        "_loop", "_patient", "_read", "_reading", "_server", "_timer", "_timer_time",
        "_transport", "peer_address", "state",
    )  # fmt: skip
    state: ConnectionState

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self.peer_address = "unknown"
        """The address of the peer, also once the connection is gone."""
        self._reading = True
        self._timer: asyncio.Handle | None = None
        self._timer_time: float | None = None
        self._read: asyncio.Future[None] | None = None
        """Set while somebody waits until the peer has read."""
        self._patient = True

    # Calls of the service.

    @property
    def in_flight(self) -> int:
        """Number of requests that are not answered yet."""
        return self.state.in_flight

    @property
    def observing(self) -> bool:
        """See `ConnectionState.observing`."""
        return self.state.observing

    @observing.setter
    def observing(self, observing: bool) -> None:
        self.state.observing = observing

    @property
    def unread_bytes(self) -> int:
        """Bytes written that the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def answer(self, data: bytes, requests: int = 1) -> None:
        """Writes the answers to the oldest `requests` in flight."""
        if self._transport is not None:
            self._transport.write(data)
        if self.state.count_answers(requests) or not self._reading:
            self._apply_state()

    def send(self, data: bytes) -> None:
        """Writes something that answers no request, as long as the server has not ended its side."""
        if self._transport is not None and self.state.phase is not ENDED:
            self._transport.write(data)

    def finish(self) -> None:
        """Takes no more requests, and ends the stream once everything in flight is answered."""
        self.state.finish()
        self._apply_state()

    @property
    def congested(self) -> bool:
        """Whether the peer has more to read than it may before it gets another large answer."""
        return self.state.unread_since is not None and self._patient and self._transport is not None

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
        self._notify_read()

    def _notify_read(self) -> None:
        if self._read is not None:
            self._read.set_result(None)
            self._read = None

    # Calls of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if peer := transport.get_extra_info("peername"):
            self.peer_address = plain_address(peer[0])
        server, service = self._server, self._server.service
        self.state = ConnectionState(
            limits=server.limits,
            clock=self._loop.time,
            take_block=partial(service.block, self),
            take_frame=partial(service.frame, self),
            send=self.send,
            can_half_close=transport.get_extra_info("sslcontext") is None,
            last_heard=self._loop.time(),
        )
        if (refusal := server.admit(self)) is not None:
            self.evict(refusal)
            return
        self._transport.set_write_buffer_limits(high=server.limits.unread_bytes)
        if greeting := service.greeting():
            self.send(greeting)

    def data_received(self, data: bytes) -> None:
        if self.state.receive_data(data):
            self._apply_state()

    def eof_received(self) -> bool:
        self.state.receive_end()
        self._apply_state()
        # Over TLS the answers in flight are still sent.
        return self.state.can_half_close

    def pause_writing(self) -> None:
        self.state.unread_since = self._loop.time()
        self._apply_state()

    def resume_writing(self) -> None:
        self.state.unread_since = None
        self._notify_read()
        self._apply_state()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.state.close()
        self._set_timer(None)
        self._notify_read()
        self._server.release(self)
        self._server.service.closed(self)

    def _wake_up(self) -> None:
        self._timer_time = None
        self.state.wake_up()
        self._apply_state()

    def _apply_state(self) -> None:
        """Reads, ends the stream and sets the timer as the state says."""
        transport, state = self._transport, self.state
        if transport is None or transport.is_closing():
            return
        if state.phase is ENDED:
            transport.write_eof()
        elif state.phase is CLOSED:
            transport.close()
            return
        if self._reading is not state.wants_input:
            self._reading = not self._reading
            (transport.resume_reading if self._reading else transport.pause_reading)()
        self._set_timer(state.wake_up_time)

    def _set_timer(self, time: float | None) -> None:
        if time != self._timer_time:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None if time is None else self._loop.call_at(time, self._wake_up)
            self._timer_time = time

    # Limits.

    def sweep(self, now: float) -> None:
        """Ends the connection if its peer has been silent, or has not read, for too long."""
        if self.state.is_stalled(now):
            self.abort()
            return
        self.state.time_out(now)
        if not self.state.takes_requests:
            self._apply_state()

    def evict(self, error: Unavailable) -> None:
        """Ends the connection at once, and says why where the peer reads."""
        if self.unread_bytes:
            self.abort()
            return
        self.send(encode_line(error_reply(error)))
        self.state.close()
        self._apply_state()

    def abort(self) -> None:
        """Cuts the connection and frees what waits to be written, which a plain close would not."""
        if self._transport is not None:
            self._transport.abort()
