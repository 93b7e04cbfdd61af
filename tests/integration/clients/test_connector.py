"""The race of addresses, against servers on several addresses of the loopback network."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from clients import connector
from clients.connection import ClientConnection
from clients.connector import connect_to_server
from clients.errors import Unreachable
from tests.support.scripted import GREETING, Peer, scripted, well_behaved

Scenario = Callable[[], Coroutine[Any, Any, None]]
RUNNERS = [asyncio.run, uvloop.run]


def resolve_to(patch: pytest.MonkeyPatch, port: int, *hosts: str) -> None:
    """Makes every name one of these addresses."""

    async def resolved(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
            if ":" in host
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host in hosts
        ]

    patch.setattr(connector, "_resolve_host", resolved)


@pytest.mark.parametrize("run", RUNNERS)
def test_every_address_of_a_name_is_tried(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address refuses, the second says nothing, the third one greets."""

    async def scenario() -> None:
        left = asyncio.Event()

        async def deaf(peer: Peer) -> None:
            await peer.gone()
            left.set()

        async with scripted(well_behaved, host="127.0.0.3") as port, scripted(deaf, host="127.0.0.2", port=port):
            resolve_to(monkeypatch, port, "127.0.0.1", "127.0.0.2", "127.0.0.3")
            connection = await connect_to_server(
                ClientConnection, "intake.example", port, next_address_seconds=0.01, address_seconds=1e6
            )
            assert b'"id":"r"' in await connection.send_request(b'{"request_id":"r"}')
            connection.abort()
            await left.wait()

    run(scenario())


@pytest.mark.parametrize("run", RUNNERS)
def test_failure_of_each_address_is_told(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async def full(peer: Peer) -> None:
            peer.send({"success": False, "error": "unavailable", "message": "12000 connections already"})

        async with scripted(full, host="127.0.0.2") as port:
            resolve_to(monkeypatch, port, "::1", "127.0.0.2", "127.0.0.1")
            with pytest.raises(Unreachable) as caught:
                await connect_to_server(ClientConnection, "intake.example", port)
        assert caught.value.message == (
            f"no server answers at intake.example port {port} (::1: Connection refused; "
            "127.0.0.2: the server refuses: 12000 connections already; 127.0.0.1: Connection refused)"
        )

    run(scenario())


@pytest.mark.parametrize("run", RUNNERS)
def test_silent_address_is_given_up(run: Callable[..., None]) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def deaf(peer: Peer) -> None:
            await peer.gone()
            left.set()

        async with scripted(deaf) as port:
            with pytest.raises(Unreachable, match=r"\(127\.0\.0\.1: no answer\)"):
                await connect_to_server(ClientConnection, "127.0.0.1", port, address_seconds=0.05)
            await left.wait()

    run(scenario())


async def test_families_take_turns_and_the_preferred_one_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 address that greets is used although IPv4 addresses greet too."""
    asked: list[str] = []

    def greet_at(host: str) -> Callable[[Peer], Coroutine[Any, Any, None]]:
        async def greet(peer: Peer) -> None:
            asked.append(host)
            peer.send(GREETING)
            await peer.gone()

        return greet

    async with (
        scripted(greet_at("::1"), host="::1") as port,
        scripted(greet_at("127.0.0.1"), host="127.0.0.1", port=port),
    ):
        resolve_to(monkeypatch, port, "::1", "127.0.0.1", "::1")
        connection = await connect_to_server(ClientConnection, "intake.example", port)
        connection.abort()
    assert asked == ["::1"]


async def test_unknown_name_is_told() -> None:
    with pytest.raises(Unreachable, match=r"the name comanda\.invalid is not known for IPv4"):
        await connect_to_server(ClientConnection, "comanda.invalid", 1, family=socket.AF_INET)
