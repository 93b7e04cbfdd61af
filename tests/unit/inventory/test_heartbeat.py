"""The heartbeat of the inventory service is seen soon after a start, whichever server is ready first."""

import asyncio
from typing import Any

import pytest

from clients.access import Access
from clients.errors import Unreachable
from clients.inventory.heartbeat import HEARTBEAT_SECONDS
from services.inventory.inventory import InventoryService
from services.inventory.settings import InventorySettings


class LateServer:
    """Stands for a client of a persistence server that is not ready at the first request."""

    def __init__(self) -> None:
        self.requests = 0

    async def put_item(self, *_: Any) -> None:
        self.requests += 1
        if self.requests == 1:
            raise Unreachable("no server answers")


async def test_heartbeat_that_fails_is_sent_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr("services.inventory.inventory.asyncio.sleep", sleep)
    server = LateServer()
    with pytest.raises(asyncio.CancelledError):
        await InventoryService(InventorySettings(), Access())._send_heartbeats(server)  # type: ignore[arg-type]
    assert server.requests == 2
    assert pauses[0] < 1
    assert pauses[1] == HEARTBEAT_SECONDS
