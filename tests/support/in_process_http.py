"""An HTTP client within a simulated loop: one request, one answer; raw bytes; and streams of events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.http import Reply
from tests.support.lines import PATIENCE


class InProcessHttp:
    """Asks the gateway on a port, each time over a new connection from the address `peer`."""

    def __init__(self, port: int, *, peer: str = "127.0.0.1") -> None:
        self._port = port
        self._peer = peer

    async def ask(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Reply:
        """Sends a request; a body that is not bytes goes as JSON."""
        sent = {"Host": "localhost", "Connection": "close", **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if data is not None or method in ("POST", "PUT", "PATCH"):
            sent.setdefault("Content-Length", str(len(data or b"")))
        head = "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in sent.items())])
        return parse_reply(await self.raw(head.encode() + b"\r\n" + (data or b"")))

    async def get(self, path: str, **headers: str) -> Reply:
        """GET, with headers whose underscores stand for hyphens."""
        return await self.ask("GET", path, headers=_named(headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        """POST, likewise."""
        return await self.ask("POST", path, body, headers=_named(headers))

    async def raw(self, sent: bytes) -> bytes:
        """Sends bytes; returns everything until the server ends the stream."""
        reader, writer = await self.open()
        writer.write(sent)
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        finally:
            writer.close()

    async def refused(self, sent: bytes) -> tuple[int, Any]:
        """Sends bytes; returns the status and the problem that answer them."""
        reply = parse_reply(await self.raw(sent))
        return reply.status, reply.json

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a connection."""
        return await asyncio.open_connection("127.0.0.1", self._port, peer=self._peer)

    @asynccontextmanager
    async def stream(self, query: str = "", **headers: str) -> "AsyncIterator[Events]":
        """Opens the stream of events for the block."""
        async with self.follow(f"/api/v1/events{query}", **headers) as events:
            yield events

    @asynccontextmanager
    async def follow(self, path: str, **headers: str) -> "AsyncIterator[Events]":
        """Opens a stream of server-sent events for the block."""
        reader, writer = await self.open()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in _named(headers).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert " 200 " in head.partition("\r\n")[0], head
        assert "content-type: text/event-stream" in head
        try:
            yield Events(reader)
        finally:
            writer.close()


class Events:
    """A stream of server-sent events, in the chunks of HTTP."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = b""

    async def read(self) -> dict[str, Any] | None:
        """Returns the next event that is no heartbeat; None at the end of the stream."""
        while b"\n\n" not in self._text:
            async with asyncio.timeout(PATIENCE):
                size = int(await self._reader.readline() or b"0", 16)
                if not size:
                    return None
                self._text += await self._reader.readexactly(size)
                await self._reader.readline()
        text, _, self._text = self._text.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in text.decode().splitlines() if ": " in line)
        if "data" not in fields:
            return await self.read()
        event: dict[str, Any] = json.loads(fields["data"])
        assert event["event"] == fields["event"]
        assert "seq" not in event or event["seq"] == int(fields["id"])
        return await self.read() if event["event"] == "heartbeat" else event

    async def next(self, *names: str) -> list[dict[str, Any]]:
        """Returns the next events, which have to have these names."""
        found = [event for _ in names if (event := await self.read()) is not None]
        assert [event["event"] for event in found] == list(names)
        return found


def parse_reply(answer: bytes) -> Reply:
    """Returns an answer that came as a whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(body))
    return Reply(int(status.split()[1]), headers, body)


def _chunks(body: bytes) -> list[bytes]:
    found: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        found.append(rest[:length])
        body = rest[length + 2 :]
    return found


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
