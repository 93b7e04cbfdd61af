"""Stock that orders take: counted once, never below nothing, and given back; whatever is killed meanwhile."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from clients.distributed import DistributedClient
from clients.errors import Refused
from clients.intake import IntakeClient
from clients.inventory.catalogue import CATALOGUE_KEY, advance_catalogue
from clients.persistence import PersistenceClient
from clients.replies import Accepted, StoredOrder
from services.inventory import releaser, stock_index
from services.inventory.grants import read_grants, read_stores, sum_quantities
from services.inventory.releaser import ReservationReleaser
from services.inventory.reservations import Reserver
from shared.domain.ids import id_prefix
from shared.domain.orders import Item, OrderRequest
from shared.domain.records import Condition, Delete, Put, Update
from shared.domain.states import State
from shared.domain.tables import INVENTORY, RESERVATIONS, STOCK
from tests.support.dynamodb import own_tables, settings_of
from tests.support.intake import PATIENCE, DistributedProcess, IntakeProcess, PersistenceProcess
from workers.handlers import Job

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


async def stock(client: PersistenceClient, counts: dict[tuple[str, str], int]) -> None:
    """Stores so many of each item, by store and item."""
    for (store, item), count in counts.items():
        put = Put(STOCK.name, {"store": store, "item": item, "count": count, "cause": "edit"})
        await client.transact([put, advance_catalogue()])


async def left(client: PersistenceClient, store: str, item: str) -> int:
    found = (await client.get_item(STOCK.name, {"store": store, "item": item})).item
    assert found is not None
    return int(found["count"])


async def held(client: PersistenceClient) -> dict[str, dict[str, str]]:
    """The orders that hold something, and from which store each product is that they or those beside them hold."""
    page = await client.query(RESERVATIONS.name, "by_time", page_size=1000)
    assert page.cursor is None
    return {
        order_id: read_stores(found.held.stores)
        for one in page.items
        if one.item is not None
        for order_id, found in read_grants(one.item).items()
    }


async def place(orders: IntakeClient, *products: Any, customer: str = "Ana") -> str:
    return (await orders.order({"cliente": customer, "productos": list(products), "direccion": "Mayor 1"})).id


async def until(holds: Callable[[], Any]) -> None:
    """Asks a server again and again until its answer is true."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            pass


@asynccontextmanager
async def running(releases: ReservationReleaser) -> AsyncIterator[None]:
    task = asyncio.create_task(releases.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# Orders.


async def test_order_takes_what_is_stocked_and_nothing_else(client: PersistenceClient, orders: IntakeClient) -> None:
    await stock(client, {("Berlin", "Echo Dot"): 1, ("Paris", "Echo Dot"): 9, ("Paris", "pan"): 5})
    first = await place(orders, "pan", {"producto": "Echo Dot", "cantidad": 2}, "agua", "pan")
    assert (await orders.follow(first)).state is State.DONE
    second = await place(orders, "agua")
    assert (await orders.follow(second)).state is State.DONE
    assert await held(client) == {first: {"pan": "Paris", "echo dot": "Paris"}}
    assert [await left(client, *pair) for pair in (("Berlin", "Echo Dot"), ("Paris", "Echo Dot"))] == [1, 7]
    bread = (await client.get_item(STOCK.name, {"store": "Paris", "item": "pan"})).item
    assert bread is not None
    assert (bread["count"], bread["cause"], bread["reference"], bread["orders"]) == (3, "order", first, 1)


@pytest.mark.parametrize("spelling", ["Cafe\u0301", "CAF\u00c9", " caf\u00e9\u00a0", "Ca\u200bf\u00e9"])
async def test_order_takes_what_is_stocked_under_another_spelling(
    client: PersistenceClient, orders: IntakeClient, spelling: str
) -> None:
    await stock(client, {("Berlin", "Caf\u00e9"): 5})
    order_id = await place(orders, {"producto": spelling, "cantidad": 2})
    assert (await orders.follow(order_id)).state is State.DONE
    assert await left(client, "Berlin", "Caf\u00e9") == 3
    reserver = Reserver(client)
    assert await reserver.release_order(order_id, [Item(spelling, 2)])
    assert await left(client, "BERLIN", spelling) == 5


async def test_order_for_what_is_not_stocked_says_so(client: PersistenceClient, orders: IntakeClient) -> None:
    await stock(client, {("Berlin", "pan"): 5})
    order_id = await place(orders, "pan", "Leche")
    assert (await orders.follow(order_id)).state is State.DONE
    assert (await orders.explain(order_id))["detalle"] == "not stocked: Leche"
    assert (await orders.follow(await place(orders, "pan"))).detail is None
    assert (await orders.stats())["con_nota"] == 1
    assert await left(client, "Berlin", "pan") == 3


@pytest.mark.intake(UNSTOCKED_ITEMS="reject")
async def test_order_for_what_is_not_stocked_is_refused_where_that_is_set(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock(client, {("Berlin", "pan"): 5})
    refused, taken = [await orders.follow(await place(orders, *products)) for products in (("pan", "Leche"), ("pan",))]
    assert (refused.state, refused.detail, refused.attempts) == (State.FAILED, "not stocked: Leche", 1)
    assert taken.state is State.DONE
    assert await left(client, "Berlin", "pan") == 4


async def test_order_for_what_is_out_of_stock_ends_at_once_and_can_be_tried_again(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock(client, {("Berlin", "Echo Dot"): 3, ("Berlin", "pan"): 5})
    order_id = await place(orders, "pan", {"producto": "Echo Dot", "cantidad": 5})
    order = await orders.follow(order_id)
    assert (order.state, order.attempts) == (State.FAILED, 1)
    assert order.detail == "out of stock: Echo Dot: 5 asked for, 3 left"
    assert await held(client) == {}
    assert await left(client, "Berlin", "pan") == 5
    await client.update_item(STOCK.name, {"store": "Berlin", "item": "Echo Dot"}, {"count": 6})
    await orders.retry(order_id)
    assert (await orders.follow(order_id)).state is State.DONE
    assert await left(client, "Berlin", "Echo Dot") == 1


async def test_product_is_taken_from_when_it_is_stocked_to_when_it_is_not(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    for _ in range(2):
        assert (await orders.follow(await place(orders, "pan"))).state is State.DONE
        await stock(client, {("Berlin", "pan"): 1})
        assert (await orders.follow(await place(orders, "pan"))).state is State.DONE
        assert (await orders.follow(await place(orders, "pan"))).state is State.FAILED
        await client.transact([Delete(STOCK.name, {"store": "Berlin", "item": "pan"}), advance_catalogue()])


async def test_of_many_who_want_the_last_one_exactly_one_gets_it(
    client: PersistenceClient, kitchen: IntakeProcess
) -> None:
    await stock(client, {("Berlin", "Echo Dot"): 1})

    async def want(number: int) -> StoredOrder:
        async with IntakeClient("127.0.0.1", kitchen.port, timeout=PATIENCE) as one:
            return await one.follow(await place(one, "Echo Dot", customer=f"c{number}"))

    ends = Counter(order.state for order in await asyncio.gather(*map(want, range(64))))
    assert ends == {State.DONE: 1, State.FAILED: 63}
    assert await left(client, "Berlin", "Echo Dot") == 0
    assert len(await held(client)) == 1


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, RETRY_SECONDS=0.01)
async def test_handler_of_ones_own_works_with_what_is_reserved_and_tries_again_without_taking_twice(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock(client, {("Berlin", "pan"): 9})
    order = await orders.follow(await place(orders, "pan", customer="fails once"))
    assert (order.state, order.attempts) == (State.DONE, 2)
    assert await left(client, "Berlin", "pan") == 8


# Whatever is killed.


async def exact(client: PersistenceClient, orders: IntakeClient, ids: list[str], stocked: dict[str, int]) -> None:
    """Every order is done or refused, and the stock is short of exactly what the done ones asked for."""
    for order_id in ids[-10:]:
        await orders.follow(order_id)
    await until(lambda: _none_open(orders))
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
    assert set(await held(client)) == done
    for item, count in stocked.items():
        assert await left(client, "Berlin", item) == count - wanted[item]
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
    await stock(client, {("Berlin", item): count for item, count in STOCKED.items()})
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
        await stock(client, {("Berlin", item): count for item, count in STOCKED.items()})
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
        await stock(client, {("Berlin", "pan"): 9})
        persistence.kill()
        async with IntakeClient("127.0.0.1", kitchen.port) as orders:
            order_id = await place(orders, "pan")
            await until(lambda: _running(orders, order_id))
        assert await asyncio.to_thread(kitchen.terminate) == 0
        assert not [entry for entry in kitchen.log if "kill" in entry["event"]]
        await asyncio.to_thread(kitchen.start)
        await asyncio.to_thread(persistence.start)
        async with IntakeClient("127.0.0.1", kitchen.port, timeout=PATIENCE) as orders:
            assert (await orders.follow(order_id)).state is State.DONE
        assert await left(client, "Berlin", "pan") == 8


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
    await stock(client, {("Berlin", "pan"): 9})
    async with (
        DistributedClient("127.0.0.1", events.port) as distributed,
        running(ReservationReleaser(client, orders, distributed)),
    ):
        order_id = await place(orders, {"producto": "pan", "cantidad": 4}, customer="fails")
        assert (await orders.follow(order_id)).state is State.FAILED
        await until(lambda: _is(client, "pan", 9))
        bread = (await client.get_item(STOCK.name, {"store": "Berlin", "item": "pan"})).item
        assert bread is not None
        assert (bread["cause"], bread["reference"]) == ("release", order_id)
        await orders.retry(order_id)
        await until(lambda: _version(client, "pan", at_least=5))
        await until(lambda: _is(client, "pan", 9))


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, RETRY_SECONDS=1000)
async def test_what_a_cancelled_order_had_taken_is_given_back_though_nobody_listened(
    client: PersistenceClient, orders: IntakeClient, events: DistributedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(client, {("Berlin", "pan"): 9})
    # Events alone have to do.
    monkeypatch.setattr(ReservationReleaser, "sweep_reservations", AsyncMock())
    first, second = [await place(orders, "pan", customer="fails") for _ in range(2)]
    await until(lambda: _queued(orders, first, second))
    assert await left(client, "Berlin", "pan") == 7
    async with DistributedClient("127.0.0.1", events.port) as distributed:
        await orders.cancel(first)
        told = await _told_of(distributed, first)
        async with running(ReservationReleaser(client, orders, distributed)):
            await until(lambda: _is(client, "pan", 8))
            await until(lambda: _has_position(client, told))
        await orders.cancel(second)
        await _told_of(distributed, second)
        async with running(ReservationReleaser(client, orders, distributed)):
            await until(lambda: _is(client, "pan", 9))


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
    await stock(client, {("Berlin", "pan"): 9})
    await client.put_item(INVENTORY.name, {**releaser.EVENT_POSITION_KEY, "seq": 10**9})
    first, second = [await place(orders, "pan", customer="fails") for _ in range(2)]
    await until(lambda: _queued(orders, first, second))
    await orders.cancel(first)
    async with (
        DistributedClient("127.0.0.1", events.port) as distributed,
        running(ReservationReleaser(client, orders, distributed)),
    ):
        await until(lambda: _is(client, "pan", 8))
        await orders.cancel(second)
        await until(lambda: _is(client, "pan", 9))


async def _is(client: PersistenceClient, item: str, count: int) -> bool:
    return await left(client, "Berlin", item) == count


async def _version(client: PersistenceClient, item: str, *, at_least: int) -> bool:
    return (await client.get_item(STOCK.name, {"store": "Berlin", "item": item})).version >= at_least


async def _queued(orders: IntakeClient, *ids: str) -> bool:
    found = [await orders.status(order_id) for order_id in ids]
    return all(order.state is State.QUEUED and order.attempts == 1 for order in found)


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, MAX_ATTEMPTS=1, SHUTDOWN_SECONDS=0.5)
async def test_sweep_gives_back_what_no_event_told_of_and_clears_away_what_is_final(
    client: PersistenceClient, orders: IntakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(client, {("Berlin", "pan"): 9})
    ends = {customer: await place(orders, "pan", customer=customer) for customer in ("fails", "fine")}
    assert (await orders.follow(ends["fails"])).state is State.FAILED
    assert (await orders.follow(ends["fine"])).state is State.DONE
    # Accepted later, so it is nobody's neighbour.
    ends["never ends"] = await place(orders, "pan", customer="never ends")
    await until(lambda: _held(client, 3))
    releases = ReservationReleaser(client, orders, None)
    await releases.sweep_reservations(age=3600)
    assert len(await held(client)) == 3
    await releases.sweep_reservations()
    assert set(await held(client)) == {ends["fine"], ends["never ends"]}
    assert await left(client, "Berlin", "pan") == 7
    again = await place(orders, "pan", customer="fails")
    assert (await orders.follow(again)).state is State.FAILED
    assert await left(client, "Berlin", "pan") == 6
    monkeypatch.setattr(releaser, "_KEEP_SECONDS", 0.0)
    await releases.sweep_reservations()
    assert set(await held(client)) == {ends["never ends"]}
    assert await left(client, "Berlin", "pan") == 7
    assert len((await client.query(RESERVATIONS.name, "by_time")).items) == 1


async def _held(client: PersistenceClient, number: int) -> bool:
    return len(await held(client)) == number


# Over the persistence server alone.


def job(number: int, *products: str | Item, attempt: int = 1) -> Job:
    order = OrderRequest(customer="a", items=list(products), address="d")
    return Job(f"{id_prefix(1_700_000_000_000_000, 5)}{number:012x}", attempt, order)


async def test_what_a_later_attempt_counts_on_is_not_given_back_for_an_earlier_one(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 9})
    worker, releaser = Reserver(client), Reserver(client)
    first = job(1, "pan")
    for attempt in (1, 1, 2):
        assert await worker.reserve_orders([job(1, "pan", attempt=attempt)]) == {}
        assert await left(client, "Berlin", "pan") == 8
    assert not await releaser.release_order(first.id, ["pan"], attempt=1)
    assert await left(client, "Berlin", "pan") == 8
    assert await releaser.release_order(first.id, ["pan"], attempt=2)
    assert not await releaser.release_order(first.id, ["pan"], attempt=2)
    assert await left(client, "Berlin", "pan") == 9


async def test_count_that_somebody_else_has_changed_is_read_again(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 1, ("Berlin", "agua"): 1})
    one, other = Reserver(client), Reserver(client)
    assert await other.reserve_orders([job(1, "agua")]) == {}
    assert await one.reserve_orders([job(2, "pan")]) == {}
    assert set(await other.reserve_orders([job(3, "pan")])) == {job(3).id}
    assert set(await held(client)) == {job(1).id, job(2).id}
    await client.update_item(STOCK.name, {"store": "Berlin", "item": "pan"}, {"count": 1})
    assert await other.reserve_orders([job(4, "pan")]) == {}
    assert set(await one.reserve_orders([job(5, "pan")])) == {job(5).id}


async def test_order_that_holds_the_last_one_is_not_refused(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 1})
    assert await Reserver(client).reserve_orders([job(1, "pan")]) == {}
    # The same attempt once more, as after an answer that was lost; then the next one, beside somebody else.
    assert await Reserver(client).reserve_orders([job(1, "pan")]) == {}
    assert set(await Reserver(client).reserve_orders([job(2, "pan"), job(1, "pan", attempt=2)])) == {job(2).id}


async def test_neighbours_give_back_at_the_same_time_and_each_once(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 99})
    reserver = Reserver(client)
    jobs = [job(number, Item("pan", 3)) for number in range(20)]
    assert await reserver.reserve_orders(jobs) == {}
    assert await left(client, "Berlin", "pan") == 39
    releases = [reserver.release_order(one.id, one.request.items) for one in jobs for _ in range(2)]
    assert Counter(await asyncio.gather(*releases)) == {True: 20, False: 20}
    assert await left(client, "Berlin", "pan") == 99
    # What they had before is in nobody's way.
    again = [Job(one.id, 2, one.request) for one in jobs]
    assert await reserver.reserve_orders(again) == {}
    assert await left(client, "Berlin", "pan") == 39
    assert {grant.held.attempt for grant in (await reserver.load_held([one.id for one in jobs])).values()} == {2}


@pytest.mark.parametrize("enough", [True, False])
async def test_what_a_killed_worker_has_sent_takes_nothing_once_the_next_attempt_is_decided(
    client: PersistenceClient, monkeypatch: pytest.MonkeyPatch, enough: bool
) -> None:
    await stock(client, {("Berlin", "pan"): 9})
    sent: list[Any] = []
    # The first worker's request stays on its way.
    on_its_way = asyncio.Event()

    async def transact(actions: Any, *, safe: bool) -> Any:
        sent.append(actions)
        on_its_way.set()
        await asyncio.Event().wait()

    async with PersistenceClient("127.0.0.1", client._port) as first:
        monkeypatch.setattr(first, "transact", transact)
        killed = asyncio.create_task(Reserver(first).reserve_orders([job(1, "pan"), job(2, "agua")]))
        await on_its_way.wait()
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    if not enough:
        await client.update_item(STOCK.name, {"store": "Berlin", "item": "pan"}, {"count": 0})
    refused = await Reserver(client).reserve_orders([job(1, "pan", attempt=2)])
    assert bool(refused) is not enough
    await client.update_item(STOCK.name, {"store": "Berlin", "item": "pan"}, {"count": 5})
    with pytest.raises(Refused, match="fence is there already"):
        await client.transact(sent[0])
    assert await left(client, "Berlin", "pan") == 5
    assert set(await held(client)) == ({job(1).id} if enough else set())


async def test_workers_that_share_a_block_and_run_short_share_what_there_is(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 70, ("Paris", "pan"): 50, ("Berlin", "agua"): 500})
    jobs = [job(number, "pan", "agua") for number in range(200)]
    workers = [Reserver(client) for _ in range(4)]

    async def work(number: int) -> dict[str, Exception | str]:
        refused: dict[str, Exception | str] = {}
        for start in range(number, 200, 40):
            refused |= await workers[number].reserve_orders(jobs[start : start + 40 : 4])
        return refused

    refused = set().union(*await asyncio.gather(*map(work, range(4))))
    assert [await left(client, store, "pan") for store in ("Berlin", "Paris")] == [0, 0]
    assert await left(client, "Berlin", "agua") == 380
    assert set(await held(client)) == {one.id for one in jobs} - refused
    assert len(refused) == 80


async def test_what_is_given_back_to_an_item_that_is_gone_makes_it_anew(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 3})
    reserver = Reserver(client)
    await reserver.reserve_orders([job(1, Item("pan", 2))])
    await client.transact([Delete(STOCK.name, {"store": "Berlin", "item": "pan"}), advance_catalogue()])
    before = (await client.get_item(INVENTORY.name, CATALOGUE_KEY)).version
    assert await reserver.release_order(job(1).id, [Item("pan", 2)])
    assert await left(client, "Berlin", "pan") == 2
    assert (await client.get_item(INVENTORY.name, CATALOGUE_KEY)).version == before + 1


@pytest.mark.parametrize("pages", [1, 5])
async def test_many_orders_of_many_products_are_reserved_in_parts(
    client: PersistenceClient, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(stock_index, "_ALL_PAGES", pages)
    monkeypatch.setattr(stock_index, "_PAGE", 50)
    names = [f"p{number:03}" for number in range(150)]
    await stock(client, {("Berlin", name): 20 for name in names})
    jobs = [job(number, *(names[(number * 7 + k) % 150] for k in range(5))) for number in range(1000)]
    refused = await Reserver(client).reserve_orders(jobs)
    holders = await held(client)
    assert {one.id for one in jobs} - holders.keys() == refused.keys()
    taken = Counter(name for one in jobs if one.id in holders for name in sum_quantities(one.request.items))
    assert all(set(one.request.items) <= holders[one.id].keys() for one in jobs if one.id in holders)
    assert 0 < len(refused) < 1000
    assert [await left(client, "Berlin", name) for name in names] == [20 - taken[name] for name in names]
    for reason in refused.values():
        short = str(reason).split(": ")[1]
        assert taken[short] == 20


async def test_count_that_is_no_number_can_not_be_taken_from(client: PersistenceClient) -> None:
    await stock(client, {("Berlin", "pan"): 3})
    reserver = Reserver(client)
    assert await reserver.reserve_orders([job(1, "pan")]) == {}
    key = {"store": "Berlin", "item": "pan"}
    await client.transact([Update(STOCK.name, key, set={"count": "many"}, when=Condition(exists=True))])
    (reason,) = (await reserver.reserve_orders([job(2, "pan")])).values()
    assert str(reason) == "out of stock: pan: 1 asked for, 0 left"


async def test_on_dynamodb_workers_share_what_is_left_and_give_it_back(tmp_path: Path, dynamodb: str) -> None:
    settings = settings_of(own_tables(dynamodb))
    with PersistenceProcess(tmp_path, settings) as server:
        async with PersistenceClient("127.0.0.1", server.port, timeout=PATIENCE) as client:
            await stock(client, {("Berlin", "pan"): 5, ("Berlin", "agua"): 100})
            jobs = [job(number, "pan", "agua") for number in range(8)]
            halves = [Reserver(client).reserve_orders(jobs[half::2]) for half in range(2)]
            first, second = await asyncio.gather(*halves)
            assert len(first | second) == 3
            assert await left(client, "Berlin", "pan") == 0
            assert await left(client, "Berlin", "agua") == 95
            served = [one for one in jobs if one.id not in first | second]
            releases = [Reserver(client).release_order(one.id, one.request.items) for one in served]
            assert all(await asyncio.gather(*releases))
            assert await left(client, "Berlin", "pan") == 5
            assert await left(client, "Berlin", "agua") == 100
