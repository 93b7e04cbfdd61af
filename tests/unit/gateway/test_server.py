"""How many HTTP connections a client may have, without sockets."""

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

    def get_extra_info(self, name: str) -> Any:
        return {"peername": (self.peer, 1), "sockname": ("127.0.0.1", 2)}.get(name)

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass

    resume_reading = pause_reading = close


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
