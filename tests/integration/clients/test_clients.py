"""The typed clients against a real intake."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from clients.blocking import BlockingIntakeClient
from clients.errors import Unreachable
from clients.intake import IntakeClient
from shared.domain.orders import Item, OrderRequest
from shared.domain.states import State
from tests.support.intake import IntakeProcess

ORDER = {"cliente": "a", "productos": ["x", {"producto": "y", "cantidad": 2}], "direccion": "d"}


@pytest.fixture
async def client(intake: IntakeProcess) -> AsyncIterator[IntakeClient]:
    """A client of `intake`."""
    async with IntakeClient("localhost", intake.port, timeout=60) as made:
        yield made


async def test_order_is_placed_followed_and_listed(client: IntakeClient) -> None:
    accepted = await client.order(ORDER)
    assert (accepted.state, accepted.position, accepted.duplicate) == (State.QUEUED, 1, False)
    order = await client.follow(accepted.id)
    assert order.state is State.DONE
    assert order.items == ["x", Item("y", 2)]
    assert [one.id async for one in client.list(customer="a")] == [accepted.id]
    assert (await client.explain(accepted.id))["estado"] == "listo"


async def test_requests_of_many_tasks_are_pipelined_and_matched(client: IntakeClient) -> None:
    requests = [OrderRequest(customer=f"c{number}", items=["x"], address="d") for number in range(200)]
    accepted = await asyncio.gather(*(client.order(request) for request in requests))
    found = await asyncio.gather(*(client.status(one.id) for one in accepted))
    assert [order.customer for order in found] == [request.customer for request in requests]


async def test_watch_tells_events(client: IntakeClient, intake: IntakeProcess) -> None:
    events = client.watch()
    first = asyncio.ensure_future(anext(events))
    with intake.connect() as session:
        # Events begin with whatever comes after the server has taken the request to watch.
        while not first.done():
            session.ask(ORDER)
            await asyncio.sleep(0)
    assert first.result().event.startswith("order.")
    await events.aclose()


async def test_client_survives_a_restart_of_the_server(client: IntakeClient, intake: IntakeProcess) -> None:
    before = await client.order({**ORDER, "request_id": "r1"})
    await asyncio.to_thread(intake.kill)
    again = asyncio.ensure_future(client.order({**ORDER, "request_id": "r1"}))
    await asyncio.to_thread(intake.start)
    after = await again
    assert (after.id, after.duplicate) == (before.id, True)


async def test_nobody_there_is_told_with_every_address() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    with pytest.raises(Unreachable) as caught:
        await IntakeClient("localhost", port).ping()
    assert "127.0.0.1" in caught.value.message


def test_blocking_client_does_the_same(intake: IntakeProcess) -> None:
    with BlockingIntakeClient("localhost", intake.port, timeout=60) as client:
        client.ping()
        accepted = client.order(ORDER)
        assert client.follow(accepted.id).state is State.DONE
        assert client.status(accepted.id).id == accepted.id
        assert [one.id for one in client.list()] == [accepted.id]
        assert client.stats()["aceptados"] == 1
