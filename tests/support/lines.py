"""A client of the line protocol within an event loop: bytes in, lines out."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.support.simulation import pass_time_until

_LINE_BYTES = 2**22
PATIENCE = 60.0
"""Seconds after which a test gives up waiting; only a fault ever takes that long."""


class Lines:
    """One plain connection that speaks lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.hello: Any = None

    def send(self, data: str | bytes) -> None:
        """Sends bytes as they are."""
        self._writer.write(data.encode() if isinstance(data, str) else data)

    def stop_reading(self) -> None:
        """Leaves what comes where it is, until `resume_reading`."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes what comes."""
        self._transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self._writer.transport)

    def end(self) -> None:
        """Ends this side of the stream."""
        self._writer.write_eof()

    async def read(self) -> Any:
        """Returns the next line, decoded."""
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        assert line, "the server ended the stream"
        return json.loads(line)

    async def ask(self, request: str | bytes | Mapping[str, Any] | list[Any]) -> Any:
        """Sends one request on a line of its own; returns the next line that is not an event."""
        if isinstance(request, Mapping | list):
            request = json.dumps(request, ensure_ascii=False)
        self.send((request.encode() if isinstance(request, str) else request) + b"\n")
        while "event" in (answer := await self.read()):
            pass
        return answer

    async def ask_help(self) -> list[str]:
        """Sends the line `help`; returns the lines of text that people get, which an empty one ends."""
        self.send("help\n")
        shown = []
        async with asyncio.timeout(PATIENCE):
            while text := (await self._reader.readline()).decode().rstrip("\n"):
                shown.append(text)
        return shown

    async def rest(self) -> bytes:
        """Returns everything until the server ends the stream."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def at_end(self) -> bool:
        """Whether the server has ended the stream, and everything was read."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readline() == b""

    async def wait_until(self, request: str, path: str, value: object) -> Any:
        """Asks until the member at `path` (names joined by dots) has `value`; returns that answer."""

        async def look() -> Any:
            answer = await self.ask(request)
            found: Any = answer
            for name in path.split("."):
                found = found[name]
            return answer if found == value else None

        return await pass_time_until(look)

    def close(self) -> None:
        """Closes it."""
        self._writer.close()


@asynccontextmanager
async def connect_lines(port: int, *, greeted: bool = False, peer: str = "127.0.0.1") -> AsyncIterator[Lines]:
    """Opens a connection for the block; `greeted` where the server speaks first, from the address `peer`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LINE_BYTES, peer=peer)
    lines = Lines(reader, writer)
    if greeted:
        lines.hello = await lines.read()
    try:
        yield lines
    finally:
        lines.close()
