"""The typed clients against an intake in this process."""

from collections.abc import AsyncIterator

import pytest

from clients.errors import Refused
from clients.intake import IntakeClient
from shared.domain.states import State
from tests.support.in_process import Suite

ORDER = {"cliente": "a", "productos": ["x", {"producto": "y", "cantidad": 2}], "direccion": "d"}


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[IntakeClient]:
    """A client of an intake."""
    await suite.start_intake()
    async with suite.intake(timeout=60) as made:
        yield made


async def test_client_asks_for_everything_there_is(client: IntakeClient) -> None:
    await client.ping()
    assert (await client.health())["status"] in ("ok", "degraded")
    assert (await client.stats())["aceptados"] == 0
    assert "example" in await client.help("order")
    assert await client.request({"action": "ping", "request_id": 7}) == {"success": True, "pong": True, "request_id": 7}


async def test_order_that_waits_is_cancelled(client: IntakeClient) -> None:
    accepted = await client.order({**ORDER, "no_antes_de": "2999-01-01T00:00:00Z"})
    found = [order.id async for order in client.list(state="en cola", since="2020-01-01T00:00:00Z")]
    assert found == [accepted.id]
    assert [order async for order in client.list(until="2020-01-01T00:00:00Z")] == []
    assert await client.cancel(accepted.id) is State.CANCELLED


async def test_array_is_answered_for_each(client: IntakeClient) -> None:
    good, bad = await client.orders([ORDER, {"cliente": "a"}])
    assert not isinstance(good, Refused)
    assert isinstance(bad, Refused)
    assert (bad.error, bad.field) == ("invalid_params", "productos")


async def test_pages_are_followed(client: IntakeClient) -> None:
    for _ in range(5):
        await client.order(ORDER)
    assert len([order async for order in client.list(page_size=2)]) == 5


async def test_refusals_are_errors_with_what_the_server_said(client: IntakeClient) -> None:
    with pytest.raises(Refused) as caught:
        await client.order({"cliente": "a", "productos": ["x"], "direccion": "d", "client": 1})
    assert caught.value.hint == "did you mean cliente?"
    with pytest.raises(Refused) as caught:
        await client.cancel("nope")
    assert caught.value.error == "not_found"
