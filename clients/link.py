"""One connection to the intake: lines out, lines in, answers matched to requests by their order."""

import asyncio
import socket
from collections import deque
from typing import Any, cast

import msgspec

from clients.errors import ConnectionLost, Unreachable

_ADDRESS_SECONDS = 3.0


class Link(asyncio.Protocol):
    """A connection that has been greeted. Any number of requests may be in flight."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[dict[str, Any]] = loop.create_future()
        """The server's greeting."""
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        """Events of `watch`; None when the connection has ended."""
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()

    @property
    def open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def request(self, document: bytes) -> "asyncio.Future[Any]":
        """Sends one document; the future gets its answer, or ConnectionLost."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            answer.set_exception(_lost())
        else:
            self._pending.append(answer)
            self._transport.write(document + b"\n")
        return answer

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        for line in lines:
            try:
                message = msgspec.json.decode(line)
            except msgspec.DecodeError:
                self.close()
                return
            self._take(message)

    def _take(self, message: Any) -> None:
        if isinstance(message, dict) and "event" in message:
            if not self.hello.done():
                self.hello.set_result(message)
            else:
                self.events.put_nowait(message)
            return
        if not self._pending:
            # The server says why it ends the connection: too many of them, or silence.
            if not self.hello.done():
                self.hello.set_exception(Unreachable(str(message.get("message", "the server refused"))))
            return
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
        self.events.put_nowait(None)


async def connect(host: str, port: int) -> Link:
    """A greeted connection to the first address of `host` that answers, IPv6 and IPv4 alike.

    Raises Unreachable saying what became of each address.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"the name {host} is not known: {error.strerror}", hint="check --host") from error
    reasons: list[str] = []
    for address in dict.fromkeys(str(entry[4][0]) for entry in found):
        try:
            async with asyncio.timeout(_ADDRESS_SECONDS):
                _, link = await loop.create_connection(Link, address, port)
                await link.hello
                return link
        except TimeoutError:
            reasons.append(f"{address}: no answer")
        except OSError as error:
            reasons.append(f"{address}: {error.strerror or 'refused'}")
        except Unreachable as error:
            reasons.append(f"{address}: {error.message}")
    raise Unreachable(
        f"no server answers at {host} port {port} ({'; '.join(reasons)})",
        hint="start one with `make run`, or say where it is with --host and --port",
    )


def _lost() -> ConnectionLost:
    return ConnectionLost(
        "the connection ended before the answer", hint="an order with a request_id can be sent again safely"
    )
