"""A server that does what a real one will not: it cuts, garbles and keeps silent, as a script says."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

GREETING = {"event": "hello"}


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> Any:
        """The next request."""
        return msgspec.json.decode(await self._read_line())

    async def _read_line(self) -> bytes:
        """The next line that is not empty; nothing at the end of the stream."""
        while (line := await self._reader.readline()) == b"\n":
            pass
        return line

    def send(self, *messages: object) -> None:
        """Lines to the client."""
        self.send_raw(b"".join(msgspec.json.encode(message) + b"\n" for message in messages))

    def send_raw(self, data: bytes) -> None:
        """Bytes to the client."""
        self._writer.write(data)

    async def answer_all(self) -> None:
        """Answers every request with its own request_id as the order's id, until the client is gone."""
        while line := await self._read_line():
            request = msgspec.json.decode(line)
            self.send({"success": True, "id": request.get("request_id", ""), "estado": "en cola"})

    async def gone(self) -> None:
        """Waits until the client has closed the connection."""
        while await self._reader.read(65536):
            pass

    def cut(self) -> None:
        """Ends the connection without another word."""
        self._writer.transport.abort()


Scene = Callable[[Peer], Coroutine[Any, Any, None]]
"""What happens on one connection, which ends with it."""


@asynccontextmanager
async def scripted(*scenes: Scene, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[int, None]:
    """A server that plays one scene a connection, in turn, and the last one again for any more; its port."""
    left = iter(scenes[:-1])
    peers: dict[Peer, asyncio.Task[None]] = {}

    async def play(peer: Peer) -> None:
        try:
            await next(left, scenes[-1])(peer)
        finally:
            peer.cut()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        peers[peer] = asyncio.create_task(play(peer))

    server = await asyncio.start_server(connected, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for peer in peers:
            peer.cut()
        # A scene that the end of its connection has interrupted has nothing more to say.
        await asyncio.gather(*peers.values(), return_exceptions=True)


async def well_behaved(peer: Peer) -> None:
    """Greets, and answers everything."""
    peer.send(GREETING)
    await peer.answer_all()
