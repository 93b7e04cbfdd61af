"""The bounded queue to one worker process, and the channel back.

One socket pair for each worker, and no lock between processes: a `multiprocessing.Queue` that several
workers share is wedged when one of them is killed inside `get`, since its lock dies with it. The pool keeps
the bound, by the number of orders that a worker may hold; putting never blocks, not even towards a worker
that is stopped.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from workers.messages import encode

_LENGTH_BYTES = 4


class Channel(asyncio.Protocol):
    """One end of a queue: messages of any size, each behind its length.

    `received` is called with the messages that have come in, `closed` once when the other end is gone.
    """

    def __init__(
        self, decode: Callable[[bytes], Any], received: Callable[[list[Any]], None], closed: Callable[[], None]
    ) -> None:
        self._decode = decode
        self._received = received
        self._closed = closed
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()
        """Set when the other end is gone and everything it sent has been taken."""

    def put(self, message: Any) -> None:
        """Sends one message; to an end that is gone it is dropped."""
        if self._transport is not None:
            payload = encode(message)
            self._transport.write(len(payload).to_bytes(_LENGTH_BYTES, "big") + payload)

    async def close(self) -> None:
        """Sends the rest, then closes the connection."""
        if self._transport is not None:
            self._transport.close()
        await self.ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        held = self._held
        held += data
        messages: list[Any] = []
        start = 0
        while len(held) - start >= _LENGTH_BYTES:
            stop = start + _LENGTH_BYTES + int.from_bytes(held[start : start + _LENGTH_BYTES], "big")
            if len(held) < stop:
                break
            messages.append(self._decode(bytes(held[start + _LENGTH_BYTES : stop])))
            start = stop
        del held[:start]
        if messages:
            self._received(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended.set()
        self._closed()


async def open_channel(
    end: socket.socket,
    decode: Callable[[bytes], Any],
    received: Callable[[list[Any]], None],
    closed: Callable[[], None],
) -> Channel:
    """Takes over one end of a socket pair."""
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_unix_connection(lambda: Channel(decode, received, closed), sock=end)
    return channel
