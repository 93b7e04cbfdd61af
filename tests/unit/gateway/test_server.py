"""How many HTTP connections a client may have, and what a refused request costs the others; without sockets."""

import asyncio
from typing import Any

import pytest
from uvicorn.server import ServerState

from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.server import HttpServer
from services.gateway.settings import GatewaySettings

PROXY, CLIENT = "10.0.0.1", "192.0.2.1"


class Transport:
    """A connection of `peer`; remembers what is written."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return {"peername": (self.peer, 1), "sockname": ("127.0.0.1", 2)}.get(name)

    def write(self, data: bytes) -> None:
        if self.closed:
            raise RuntimeError("the transport is closed")
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def resume_reading(self) -> None:
        pass

    pause_reading = resume_reading


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing was asked")


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [(CLIENT, 2), (f"::ffff:{CLIENT}", 2), ("2001:db8::1", 2), (PROXY, 9), ("127.0.0.1", 9), ("::1", 9)],
)
async def test_an_address_has_its_share_of_connections(peer: str, allowed: int) -> None:
    settings = GatewaySettings(max_connections_per_address=2, trusted_proxies=PROXY)
    config = HttpServer(_nothing, settings).config
    config.load()
    state = ServerState()

    def connect() -> tuple[Any, Transport]:
        make: Any = config.http_protocol_class
        protocol = make(config=config, server_state=state, app_state={})
        transport = Transport(peer)
        protocol.connection_made(transport)
        return protocol, transport

    opened = [connect() for _ in range(allowed)]
    assert not any(transport.written for _, transport in opened)
    if allowed == 2:
        refused, transport = connect()
        assert transport.written.startswith(b"HTTP/1.1 503 ")
        assert b"MAX_CONNECTIONS_PER_ADDRESS" in transport.written
        refused.connection_lost(None)
        opened[0][0].connection_lost(None)
        assert connect()[1].written == b""
    await asyncio.sleep(0)


def request(path: str, body: bytes = b"", head: str = "") -> bytes:
    """A request with a body."""
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"GET /c HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"BAD\r\n\r\n", 400),
        (b"GET /c HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (LARGE, 431),
    ],
    ids=["no request", "length", "chunk", "large"],
)
@pytest.mark.parametrize("good", [0, 1, 2])
async def test_requests_before_a_refused_one_are_answered_first(bad: bytes, status: int, good: int) -> None:
    """Else the order that one of them places is stored, and its client takes the refusal for the answer to it."""
    answer = asyncio.Event()
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.request":
            await answer.wait()
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": body})

    config = HttpServer(app, GatewaySettings(max_header_bytes=4096)).config
    config.load()
    make: Any = config.http_protocol_class
    protocol, transport = make(config=config, server_state=ServerState(), app_state={}), Transport(CLIENT)
    protocol.connection_made(transport)
    before = b"".join(request(path, b"x") for path in ("/a", "/b")[:good])
    # The bytes of a header are counted from the first segment that has only bytes of it.
    for segment in (before, bad) if bad == LARGE else (before + bad,):
        protocol.data_received(segment)
    protocol.data_received(b"what still comes is dropped")
    await asyncio.sleep(0)
    assert (b" 200 " in transport.written, transport.closed) == (False, not good)
    answer.set()
    while not transport.closed:
        await asyncio.sleep(0)
    assert transport.written.count(b"HTTP/1.1 200 ") == good
    assert transport.written.rindex(f"HTTP/1.1 {status} ".encode()) >= transport.written.rfind(b" 200 ")
    assert begun[:good] == ["/a", "/b"][:good]
    # An application that answers after that writes to nobody.
    protocol.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
