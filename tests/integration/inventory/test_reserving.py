"""Stock that orders take: counted once, never below nothing, and given back; whatever is killed meanwhile."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from clients.replies import Accepted, StoredOrder
from services.inventory import releaser
from services.inventory.releaser import ReservationReleaser
from services.inventory.reservations import Reserver
from shared.domain.orders import Item, OrderRequest
from shared.domain.states import State
from shared.domain.tables import INVENTORY, STOCK
from tests.support.dynamodb import own_tables, settings_of
from tests.support.intake import PATIENCE, DistributedProcess, IntakeProcess, PersistenceProcess
from tests.support.reserving import (
    ask_until,
    job,
    place_order,
    read_count,
    read_held,
    running,
    stock_items,
)

RESERVING = "services.inventory.reserving:Reserving"
KITCHEN = "tests.support.kitchens:Kitchen"


@pytest.fixture
def kitchen(tmp_path: Path, persistence: PersistenceProcess, request: pytest.FixtureRequest) -> Iterator[IntakeProcess]:
    """An intake that reserves at `persistence`; `@pytest.mark.intake(NAME=value)` gives it settings."""
    marker = request.node.get_closest_marker("intake")
    settings = {"ORDER_HANDLER": RESERVING, "TCP_PERSIST_PORT": persistence.port}
    with IntakeProcess(tmp_path / "data", settings | (marker.kwargs if marker else {})) as process:
        yield process


@pytest.fixture
async def orders(kitchen: IntakeProcess) -> AsyncIterator[IntakeClient]:
    """A client of `kitchen`."""
    async with IntakeClient("127.0.0.1", kitchen.port, timeout=PATIENCE) as connected:
        yield connected


# Orders.


async def test_of_many_who_want_the_last_one_exactly_one_gets_it(
    client: PersistenceClient, kitchen: IntakeProcess
) -> None:
    await stock_items(client, {("Berlin", "Echo Dot"): 1})

    async def want(number: int) -> StoredOrder:
        async with IntakeClient("127.0.0.1", kitchen.port, timeout=PATIENCE) as one:
            return await one.follow(await place_order(one, "Echo Dot", customer=f"c{number}"))

    ends = Counter(order.state for order in await asyncio.gather(*map(want, range(64))))
    assert ends == {State.DONE: 1, State.FAILED: 63}
    assert await read_count(client, "Berlin", "Echo Dot") == 0
    assert len(await read_held(client)) == 1


# Whatever is killed.


async def exact(client: PersistenceClient, orders: IntakeClient, ids: list[str], stocked: dict[str, int]) -> None:
    """Every order is done or refused, and the stock is short of exactly what the done ones asked for."""
    for order_id in ids[-10:]:
        await orders.follow(order_id)
    await ask_until(lambda: _none_open(orders))
    wanted: Counter[str] = Counter()
    done: set[str] = set()
    found = {order.id: order async for order in orders.list(page_size=1000)}
    assert found.keys() == set(ids)
    for order in found.values():
        assert order.state is State.DONE or (order.detail or "").startswith("out of stock"), order
        if order.state is State.DONE:
            done.add(order.id)
            for product in order.items:
                name, quantity = (product, 1) if isinstance(product, str) else (product.name, product.quantity)
                wanted[name] += quantity
    assert set(await read_held(client)) == done
    for item, count in stocked.items():
        assert await read_count(client, "Berlin", item) == count - wanted[item]
    assert any(count == wanted[item] for item, count in stocked.items())


async def ended(orders: IntakeClient) -> AsyncIterator[int]:
    """How many orders have ended, each time that one has."""
    number = 0
    async for event in orders.watch():
        if event.state in (State.DONE, State.FAILED):
            number += 1
            yield number


async def _none_open(orders: IntakeClient) -> bool:
    return not (await orders.stats())["abiertos"]


STOCKED = {"a": 100_000, "b": 100_000, "scarce": 200}


async def send(orders: IntakeClient, number: int, chance: random.Random) -> list[str]:
    ids = []
    for _ in range(number // 250):
        batch = [
            OrderRequest(
                customer="x",
                items=[*chance.choices(["a", "b", "c"], k=3), Item("b", chance.randrange(1, 4)), *(["scarce"] * last)],
                address="d",
            )
            for last in chance.choices([0, 1], weights=[3, 1], k=250)
        ]
        for answer in await orders.orders(batch):
            assert isinstance(answer, Accepted), answer
            ids.append(answer.id)
    return ids


@pytest.mark.intake(PROCESSING_SECONDS=0.02, WORKER_CONCURRENCY=200, LEASE_SECONDS=1)
async def test_workers_that_are_killed_take_nothing_twice(
    client: PersistenceClient, kitchen: IntakeProcess, orders: IntakeClient
) -> None:
    await stock_items(client, {("Berlin", item): count for item, count in STOCKED.items()})
    chance = random.Random(7)
    sending = asyncio.create_task(send(orders, 5000, chance))
    kills = 0
    async for number in ended(orders):
        if number >= 400 * (kills + 1):
            workers = (await orders.stats())["workers"]
            if busy := [worker["pid"] for worker in workers if worker["en_mano"]]:
                os.kill(chance.choice(busy), signal.SIGKILL)
                kills += 1
        if kills == 6:
            break
    await exact(client, orders, await sending, STOCKED)


@pytest.mark.intake(WORKER_CONCURRENCY=200)
async def test_persistence_server_that_is_killed_keeps_orders_waiting_and_loses_no_count(
    persistence: PersistenceProcess, kitchen: IntakeProcess, orders: IntakeClient
) -> None:
    async with PersistenceClient("127.0.0.1", persistence.port, timeout=PATIENCE) as client:
        await stock_items(client, {("Berlin", item): count for item, count in STOCKED.items()})
        sending = asyncio.create_task(send(orders, 5000, random.Random(8)))
        kills = 0
        async for number in ended(orders):
            if number >= 500 * (kills + 1):
                persistence.kill()
                await asyncio.to_thread(persistence.start)
                kills += 1
            if kills == 3:
                break
        await exact(client, orders, await sending, STOCKED)


@pytest.mark.intake(SHUTDOWN_SECONDS=5)
async def test_orders_that_wait_for_the_persistence_server_are_handed_back_by_a_stop(
    persistence: PersistenceProcess, kitchen: IntakeProcess
) -> None:
    async with PersistenceClient("127.0.0.1", persistence.port, timeout=PATIENCE) as client:
        await stock_items(client, {("Berlin", "pan"): 9})
        persistence.kill()
        async with IntakeClient("127.0.0.1", kitchen.port) as orders:
            order_id = await place_order(orders, "pan")
            await ask_until(lambda: _running(orders, order_id))
        assert await asyncio.to_thread(kitchen.terminate) == 0
        assert not [entry for entry in kitchen.log if "kill" in entry["event"]]
        await asyncio.to_thread(kitchen.start)
        await asyncio.to_thread(persistence.start)
        async with IntakeClient("127.0.0.1", kitchen.port, timeout=PATIENCE) as orders:
            assert (await orders.follow(order_id)).state is State.DONE
        assert await read_count(client, "Berlin", "pan") == 8


async def _running(orders: IntakeClient, order_id: str) -> bool:
    return (await orders.status(order_id)).state is State.RUNNING


# Giving back.


@pytest.fixture
def events(tmp_path: Path, kitchen: IntakeProcess) -> Iterator[DistributedProcess]:
    """A distributed service that follows `kitchen`."""
    with DistributedProcess(tmp_path / "data") as process:
        yield process


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, MAX_ATTEMPTS=2, RETRY_SECONDS=0.01)
async def test_what_a_failed_order_had_taken_is_given_back_and_taken_again_by_a_retry(
    client: PersistenceClient, orders: IntakeClient, events: DistributedProcess
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    async with (
        DistributedClient("127.0.0.1", events.port) as distributed,
        running(ReservationReleaser(client, orders, distributed)),
    ):
        order_id = await place_order(orders, {"producto": "pan", "cantidad": 4}, customer="fails")
        assert (await orders.follow(order_id)).state is State.FAILED
        await ask_until(lambda: _is(client, "pan", 9))
        bread = (await client.get_item(STOCK.name, {"store": "Berlin", "item": "pan"})).item
        assert bread is not None
        assert (bread["cause"], bread["reference"]) == ("release", order_id)
        await orders.retry(order_id)
        await ask_until(lambda: _version(client, "pan", at_least=5))
        await ask_until(lambda: _is(client, "pan", 9))


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, RETRY_SECONDS=1000)
async def test_what_a_cancelled_order_had_taken_is_given_back_though_nobody_listened(
    client: PersistenceClient, orders: IntakeClient, events: DistributedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    # Events alone have to do.
    monkeypatch.setattr(ReservationReleaser, "sweep_reservations", AsyncMock())
    first, second = [await place_order(orders, "pan", customer="fails") for _ in range(2)]
    await ask_until(lambda: _queued(orders, first, second))
    assert await read_count(client, "Berlin", "pan") == 7
    async with DistributedClient("127.0.0.1", events.port) as distributed:
        await orders.cancel(first)
        told = await _told_of(distributed, first)
        async with running(ReservationReleaser(client, orders, distributed)):
            await ask_until(lambda: _is(client, "pan", 8))
            await ask_until(lambda: _has_position(client, told))
        await orders.cancel(second)
        await _told_of(distributed, second)
        async with running(ReservationReleaser(client, orders, distributed)):
            await ask_until(lambda: _is(client, "pan", 9))


async def _told_of(distributed: DistributedClient, order_id: str) -> int:
    """The number of the event that an order was cancelled, once everybody who listens has been told."""
    async for event in distributed.subscribe(["orders"], order=order_id, since=0):
        if event["event"] == "order.cancelled":
            return int(event["seq"])
    raise AssertionError("the service ended the connection")


async def _has_position(client: PersistenceClient, seq: int) -> bool:
    return (await client.get_item(INVENTORY.name, releaser.EVENT_POSITION_KEY)).item == {
        **releaser.EVENT_POSITION_KEY,
        "seq": seq,
    }


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, RETRY_SECONDS=1000)
async def test_events_that_are_not_kept_any_more_are_made_up_for(
    client: PersistenceClient, orders: IntakeClient, events: DistributedProcess
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    await client.put_item(INVENTORY.name, {**releaser.EVENT_POSITION_KEY, "seq": 10**9})
    first, second = [await place_order(orders, "pan", customer="fails") for _ in range(2)]
    await ask_until(lambda: _queued(orders, first, second))
    await orders.cancel(first)
    async with (
        DistributedClient("127.0.0.1", events.port) as distributed,
        running(ReservationReleaser(client, orders, distributed)),
    ):
        await ask_until(lambda: _is(client, "pan", 8))
        await orders.cancel(second)
        await ask_until(lambda: _is(client, "pan", 9))


async def _is(client: PersistenceClient, item: str, count: int) -> bool:
    return await read_count(client, "Berlin", item) == count


async def _version(client: PersistenceClient, item: str, *, at_least: int) -> bool:
    return (await client.get_item(STOCK.name, {"store": "Berlin", "item": item})).version >= at_least


async def _queued(orders: IntakeClient, *ids: str) -> bool:
    found = [await orders.status(order_id) for order_id in ids]
    return all(order.state is State.QUEUED and order.attempts == 1 for order in found)


# Over the persistence server alone.


async def test_on_dynamodb_workers_share_what_is_left_and_give_it_back(tmp_path: Path, dynamodb: str) -> None:
    settings = settings_of(own_tables(dynamodb))
    with PersistenceProcess(tmp_path, settings) as server:
        async with PersistenceClient("127.0.0.1", server.port, timeout=PATIENCE) as client:
            await stock_items(client, {("Berlin", "pan"): 5, ("Berlin", "agua"): 100})
            jobs = [job(number, "pan", "agua") for number in range(8)]
            halves = [Reserver(client).reserve_orders(jobs[half::2]) for half in range(2)]
            first, second = await asyncio.gather(*halves)
            assert len(first | second) == 3
            assert await read_count(client, "Berlin", "pan") == 0
            assert await read_count(client, "Berlin", "agua") == 95
            served = [one for one in jobs if one.id not in first | second]
            releases = [Reserver(client).release_order(one.id, one.request.items) for one in served]
            assert all(await asyncio.gather(*releases))
            assert await read_count(client, "Berlin", "pan") == 5
            assert await read_count(client, "Berlin", "agua") == 100
