"""A fake of time and network: an event loop whose time passes only while nothing is to be done, and whose TCP
connections never leave it.

A minute of waiting costs microseconds, and what happens in it happens in the same order each time. Servers and clients
run unchanged: they open listeners, connections and threads as on any loop. Only TLS is not there.
"""

import asyncio
import errno
import os
import selectors
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

_STUCK_SECONDS = 10.0
_CHUNK_BYTES = 65_536
_BUFFER_BYTES = 65_536
_THREAD_SECONDS = 0.001
_FIRST_CLIENT_PORT = 50_000
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 5.0
_LOOKS = 300

Factory = Callable[[], asyncio.BaseProtocol]


class _Selector(selectors.DefaultSelector):
    """Lets time jump to the next timer where nothing is ready."""

    now = 1_000_000.0

    def select(self, timeout: float | None = None) -> Any:
        """Returns what is ready, and lets time pass where nothing is."""
        if (ready := super().select(0)) or timeout == 0:
            return ready
        if timeout is not None:
            self.now += timeout
            return []
        # Nothing has a time: a thread or a process has to say something, or nobody ever will.
        ready = super().select(_STUCK_SECONDS)
        assert ready, "everything waits, and for nothing that will happen"
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """See the module. Names among `refused_hosts` are not known."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)
        self.listening: dict[int, Factory] = {}
        self._clients = 0
        self._led: dict[socket.socket, tuple[str, int]] = {}
        self.refused_hosts: set[str] = set()

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Runs it in this thread, a moment later, so that others get their turn as they would."""
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(_THREAD_SECONDS, run)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Every name is this machine, unless it is among `refused_hosts`."""
        if host in self.refused_hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Factory,
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        ssl: ssl.SSLContext | None = None,
        **_: Any,
    ) -> "MemoryServer":
        """Takes the number of the socket's port, which stays bound, and what connects to it within this loop."""
        assert ssl is None
        if sock is None:
            sock = socket.socket()
            sock.bind(("127.0.0.1", port or 0))
        number: int = sock.getsockname()[1]
        self.listening[number] = protocol_factory
        return MemoryServer(self, number, sock)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Notes where a socket is to lead, which `create_connection` goes by; raises what a refusal does."""
        await asyncio.sleep(0)
        if address[1] not in self.listening:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self._led[sock] = address

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Factory,
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
        peer: str = "127.0.0.1",
        **_: Any,
    ) -> tuple[asyncio.Transport, Any]:
        """Connects to what listens within this loop; `peer` is the address that the server sees."""
        assert ssl is None
        await asyncio.sleep(0)
        if sock is not None:
            host, port = self._led.pop(sock)
            # What is connected is in memory.
            sock.close()
        accept = None if port is None else self.listening.get(port)
        if accept is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self._clients += 1
        mine, theirs = (peer, _FIRST_CLIENT_PORT + self._clients), (str(host), port)
        client, server = protocol_factory(), accept()
        outgoing = MemoryTransport(self, client, own=mine, peer=theirs)
        incoming = MemoryTransport(self, server, own=theirs, peer=mine)
        outgoing.other, incoming.other = incoming, outgoing
        # The server has accepted before the client knows.
        server.connection_made(incoming)
        client.connection_made(outgoing)
        return outgoing, client


async def pass_time_until(look: Callable[[], Any]) -> Any:
    """Lets time pass, in ever longer pauses, until there is something to see; returns that. `look` may be awaitable."""
    pause = _FIRST_PAUSE
    for _ in range(_LOOKS):
        seen = look()
        if isinstance(seen, Awaitable):
            seen = await seen
        if seen:
            return seen
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, _LONGEST_PAUSE)
    raise AssertionError(f"{look} saw nothing")


class MemoryServer:
    """A listener; closing it leaves its connections open."""

    def __init__(self, loop: SimulatedLoop, port: int, sock: socket.socket) -> None:
        self._loop = loop
        self._port = port
        self.sockets = (sock,)

    def close(self) -> None:
        """Accepts nothing more."""
        self._loop.listening.pop(self._port, None)
        self.sockets[0].close()

    async def wait_closed(self) -> None:
        """Returns at once."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class MemoryTransport(asyncio.Transport):
    """One end of a connection, with the buffers, the flow control and the half-closing of TCP.

    What is written goes into the other end's buffer at once, as far as there is room, and reaches the other end even if
    this one is cut then. The rest waits here until the other end has read.
    """

    def __init__(self, loop: SimulatedLoop, protocol: asyncio.BaseProtocol, *, own: Any, peer: Any) -> None:
        super().__init__({"peername": peer, "sockname": own, "sslcontext": None})
        self._loop = loop
        self._protocol = cast(asyncio.Protocol, protocol)
        self.other: MemoryTransport
        self._unsent = bytearray()
        self._unread = bytearray()
        self._high, self._low = 65_536, 16_384
        self._congested = False
        self._reading = True
        self._delivering = False
        self._ended = False
        """Whether this end writes nothing more, once everything is sent."""
        self._end_seen = False
        self._closing = False
        self._lost = False

    # What the protocol calls.

    def write(self, data: Any) -> None:
        if self._closing:
            return
        assert not self._ended, "write after write_eof"
        if self.other._lost:
            self._loop.call_soon(self._lose, ConnectionResetError(errno.ECONNRESET, "reset by peer"))
            return
        self._unsent += data
        self._send()
        if len(self._unsent) > self._high and not self._congested:
            self._congested = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._ended = True
        self.other._deliver_soon()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._closing = self._ended = True
            self._finish_closing()

    def abort(self) -> None:
        self._unsent.clear()
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._deliver_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # The way to the other end.

    def _send(self) -> None:
        """Moves what there is room for into the other end's buffer."""
        other = self.other
        room = _BUFFER_BYTES - len(other._unread)
        if self._unsent and room > 0:
            other._unread += self._unsent[:room]
            del self._unsent[:room]
            other._deliver_soon()
        if self._congested and len(self._unsent) <= self._low:
            self._congested = False
            self._protocol.resume_writing()
        if self._closing:
            self._finish_closing()

    def _deliver_soon(self) -> None:
        if not self._delivering:
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hands one piece to the protocol, or the end of the stream."""
        self._delivering = False
        if self._closing:
            # Nobody reads it any more.
            self._unread.clear()
            self.other._send()
            return
        if not self._reading:
            return
        other = self.other
        if self._unread:
            piece = bytes(self._unread[:_CHUNK_BYTES])
            del self._unread[:_CHUNK_BYTES]
            self._protocol.data_received(piece)
            other._send()
            self._deliver_soon()
        elif other._ended and not other._unsent and not self._end_seen:
            self._end_seen = True
            if not self._protocol.eof_received():
                self.close()

    def _finish_closing(self) -> None:
        if not self._unsent and not self._lost:
            self.other._deliver_soon()
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = self._ended = True
            self._unsent.clear()
            self.other._deliver_soon()
            self._protocol.connection_lost(error)
