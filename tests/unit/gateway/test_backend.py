"""How the gateway asks another server: kinds of work do not stand in each other's way."""

import asyncio
from typing import Any, cast

import pytest

from clients.base_client import BaseClient
from clients.errors import AnswerTimeout
from services.gateway.upstream.backend import Backend, WorkKind
from services.gateway.upstream.breaker import BreakerState
from shared.domain.errors import DeadlineExceeded, Unavailable


@pytest.fixture
async def backend() -> Backend[BaseClient]:
    return Backend("intake", cast(list[BaseClient], ["first", "second"]), max_waiting=4)


async def come_too_late(_: BaseClient) -> None:
    raise AnswerTimeout("no answer in time")


async def answer(_: BaseClient) -> str:
    return "done"


async def test_lists_that_come_too_late_keep_no_order_out(backend: Backend[BaseClient]) -> None:
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            await backend.ask(come_too_late, WorkKind.LIST)
    with pytest.raises(Unavailable):
        await backend.ask(answer, WorkKind.LIST)
    assert await backend.ask(answer, WorkKind.AT_ONCE) == "done"
    assert await backend.ask(answer) == "done"
    # Who asks whether the server works is told of the worst.
    assert backend.state is BreakerState.OPEN


async def test_lists_take_at_most_half_of_the_places(backend: Backend[BaseClient]) -> None:
    go_on = asyncio.Event()

    async def wait(_: BaseClient) -> None:
        await go_on.wait()

    lists = [asyncio.create_task(backend.ask(wait, WorkKind.LIST)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="2 requests wait"):
        await backend.ask(answer, WorkKind.LIST)
    lookups = [asyncio.create_task(backend.ask(wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="4 requests wait"):
        await backend.ask(answer, WorkKind.AT_ONCE)
    go_on.set()
    await asyncio.gather(*lists, *lookups)
    assert await backend.ask(answer, WorkKind.LIST) == "done"


class _Viewed:
    """A client whose views know their tenant."""

    def __init__(self, tenant: str = "main") -> None:
        self._tenant = tenant

    def of(self, tenant: str) -> "_Viewed":
        return _Viewed(tenant)

    async def get_tenant(self) -> str:
        return self._tenant


async def test_view_of_a_tenant_goes_through_the_backend() -> None:
    backend = Backend("persistence", cast(Any, [_Viewed(), _Viewed()]), max_waiting=1)
    assert await backend.lookups.of("acme").get_tenant() == "acme"
    assert await backend.lookups.get_tenant() == "main"
