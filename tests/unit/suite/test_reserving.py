"""Stock that orders take, in this process: counted once, never below nothing, and given back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.errors import Refused
from clients.intake import IntakeClient
from clients.inventory.catalogue import CATALOGUE_KEY, advance_catalogue
from clients.persistence import PersistenceClient
from services.inventory import stock_index
from services.inventory.grants import sum_quantities
from services.inventory.releaser import ReservationReleaser
from services.inventory.reservations import Reserver
from shared.domain.orders import Item
from shared.domain.records import Condition, Delete, Update
from shared.domain.states import State
from shared.domain.tables import INVENTORY, RESERVATIONS, STOCK
from tests.support.in_process import Suite
from tests.support.intake import PATIENCE
from tests.support.reserving import (
    ask_until,
    hold_so_many,
    job,
    place_order,
    read_count,
    read_held,
    stock_items,
)
from workers.handlers import Job

RESERVING = "services.inventory.reserving:Reserving"
KITCHEN = "tests.support.kitchens:Kitchen"


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server."""
    await suite.start_persistence()
    async with suite.persistence() as connected:
        yield connected


@pytest.fixture
async def orders(
    suite: Suite, client: PersistenceClient, request: pytest.FixtureRequest
) -> AsyncIterator[IntakeClient]:
    """A client of an intake that reserves there; `@pytest.mark.intake(NAME=value)` gives it settings."""
    marker = request.node.get_closest_marker("intake")
    settings = {
        "order_handler": RESERVING,
        **{name.lower(): value for name, value in (marker.kwargs if marker else {}).items()},
    }
    await suite.start_intake(**settings)
    async with suite.intake(timeout=PATIENCE) as connected:
        yield connected


async def test_order_takes_what_is_stocked_and_nothing_else(client: PersistenceClient, orders: IntakeClient) -> None:
    await stock_items(client, {("Berlin", "Echo Dot"): 1, ("Paris", "Echo Dot"): 9, ("Paris", "pan"): 5})
    first = await place_order(orders, "pan", {"producto": "Echo Dot", "cantidad": 2}, "agua", "pan")
    assert (await orders.follow(first)).state is State.DONE
    second = await place_order(orders, "agua")
    assert (await orders.follow(second)).state is State.DONE
    assert await read_held(client) == {first: {"pan": "Paris", "echo dot": "Paris"}}
    assert [await read_count(client, *pair) for pair in (("Berlin", "Echo Dot"), ("Paris", "Echo Dot"))] == [1, 7]
    bread = (await client.get_item(STOCK.name, {"store": "Paris", "item": "pan"})).item
    assert bread is not None
    assert (bread["count"], bread["cause"], bread["reference"], bread["orders"]) == (3, "order", first, 1)


@pytest.mark.parametrize("spelling", ["Cafe\u0301", "CAF\u00c9", " caf\u00e9\u00a0", "Ca\u200bf\u00e9"])
async def test_order_takes_what_is_stocked_under_another_spelling(
    client: PersistenceClient, orders: IntakeClient, spelling: str
) -> None:
    await stock_items(client, {("Berlin", "Caf\u00e9"): 5})
    order_id = await place_order(orders, {"producto": spelling, "cantidad": 2})
    assert (await orders.follow(order_id)).state is State.DONE
    assert await read_count(client, "Berlin", "Caf\u00e9") == 3
    reserver = Reserver(client)
    assert await reserver.release_order(order_id, [Item(spelling, 2)])
    assert await read_count(client, "BERLIN", spelling) == 5


async def test_order_for_what_is_not_stocked_says_so(client: PersistenceClient, orders: IntakeClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 5})
    order_id = await place_order(orders, "pan", "Leche")
    assert (await orders.follow(order_id)).state is State.DONE
    assert (await orders.explain(order_id))["detalle"] == "not stocked: Leche"
    assert (await orders.follow(await place_order(orders, "pan"))).detail is None
    assert (await orders.stats())["con_nota"] == 1
    assert await read_count(client, "Berlin", "pan") == 3


@pytest.mark.intake(UNSTOCKED_ITEMS="reject")
async def test_order_for_what_is_not_stocked_is_refused_where_that_is_set(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock_items(client, {("Berlin", "pan"): 5})
    refused, taken = [
        await orders.follow(await place_order(orders, *products)) for products in (("pan", "Leche"), ("pan",))
    ]
    assert (refused.state, refused.detail, refused.attempts) == (State.FAILED, "not stocked: Leche", 1)
    assert taken.state is State.DONE
    assert await read_count(client, "Berlin", "pan") == 4


async def test_order_for_what_is_out_of_stock_ends_at_once_and_can_be_tried_again(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock_items(client, {("Berlin", "Echo Dot"): 3, ("Berlin", "pan"): 5})
    order_id = await place_order(orders, "pan", {"producto": "Echo Dot", "cantidad": 5})
    order = await orders.follow(order_id)
    assert (order.state, order.attempts) == (State.FAILED, 1)
    assert order.detail == "out of stock: Echo Dot: 5 asked for, 3 left"
    assert await read_held(client) == {}
    assert await read_count(client, "Berlin", "pan") == 5
    await client.update_item(STOCK.name, {"store": "Berlin", "item": "Echo Dot"}, {"count": 6})
    await orders.retry(order_id)
    assert (await orders.follow(order_id)).state is State.DONE
    assert await read_count(client, "Berlin", "Echo Dot") == 1


async def test_product_is_taken_from_when_it_is_stocked_to_when_it_is_not(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    for _ in range(2):
        assert (await orders.follow(await place_order(orders, "pan"))).state is State.DONE
        await stock_items(client, {("Berlin", "pan"): 1})
        assert (await orders.follow(await place_order(orders, "pan"))).state is State.DONE
        assert (await orders.follow(await place_order(orders, "pan"))).state is State.FAILED
        await client.transact([Delete(STOCK.name, {"store": "Berlin", "item": "pan"}), advance_catalogue()])


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, RETRY_SECONDS=0.01)
async def test_handler_of_ones_own_works_with_what_is_reserved_and_tries_again_without_taking_twice(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    order = await orders.follow(await place_order(orders, "pan", customer="fails once"))
    assert (order.state, order.attempts) == (State.DONE, 2)
    assert await read_count(client, "Berlin", "pan") == 8


@pytest.mark.intake(ORDER_HANDLER=KITCHEN, MAX_ATTEMPTS=1, SHUTDOWN_SECONDS=0.5)
async def test_sweep_gives_back_what_no_event_told_of_and_clears_away_what_is_final(
    client: PersistenceClient, orders: IntakeClient
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    ends = {customer: await place_order(orders, "pan", customer=customer) for customer in ("fails", "fine")}
    assert (await orders.follow(ends["fails"])).state is State.FAILED
    assert (await orders.follow(ends["fine"])).state is State.DONE
    # Accepted later, so it is nobody's neighbour.
    ends["never ends"] = await place_order(orders, "pan", customer="never ends")
    await ask_until(lambda: hold_so_many(client, 3))
    releases = ReservationReleaser(client, orders, None)
    await releases.sweep_reservations(age=3600)
    assert len(await read_held(client)) == 3
    await releases.sweep_reservations()
    assert set(await read_held(client)) == {ends["fine"], ends["never ends"]}
    assert await read_count(client, "Berlin", "pan") == 7
    again = await place_order(orders, "pan", customer="fails")
    assert (await orders.follow(again)).state is State.FAILED
    assert await read_count(client, "Berlin", "pan") == 6
    await ReservationReleaser(client, orders, None, keep_seconds=0.0).sweep_reservations()
    assert set(await read_held(client)) == {ends["never ends"]}
    assert await read_count(client, "Berlin", "pan") == 7
    assert len((await client.query(RESERVATIONS.name, "by_time")).items) == 1


async def test_what_a_later_attempt_counts_on_is_not_given_back_for_an_earlier_one(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
    worker, releaser = Reserver(client), Reserver(client)
    first = job(1, "pan")
    for attempt in (1, 1, 2):
        assert await worker.reserve_orders([job(1, "pan", attempt=attempt)]) == {}
        assert await read_count(client, "Berlin", "pan") == 8
    assert not await releaser.release_order(first.id, ["pan"], attempt=1)
    assert await read_count(client, "Berlin", "pan") == 8
    assert await releaser.release_order(first.id, ["pan"], attempt=2)
    assert not await releaser.release_order(first.id, ["pan"], attempt=2)
    assert await read_count(client, "Berlin", "pan") == 9


async def test_count_that_somebody_else_has_changed_is_read_again(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 1, ("Berlin", "agua"): 1})
    one, other = Reserver(client), Reserver(client)
    assert await other.reserve_orders([job(1, "agua")]) == {}
    assert await one.reserve_orders([job(2, "pan")]) == {}
    assert set(await other.reserve_orders([job(3, "pan")])) == {job(3).id}
    assert set(await read_held(client)) == {job(1).id, job(2).id}
    await client.update_item(STOCK.name, {"store": "Berlin", "item": "pan"}, {"count": 1})
    assert await other.reserve_orders([job(4, "pan")]) == {}
    assert set(await one.reserve_orders([job(5, "pan")])) == {job(5).id}


async def test_order_that_holds_the_last_one_is_not_refused(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 1})
    assert await Reserver(client).reserve_orders([job(1, "pan")]) == {}
    # The same attempt once more, as after an answer that was lost; then the next one, beside somebody else.
    assert await Reserver(client).reserve_orders([job(1, "pan")]) == {}
    assert set(await Reserver(client).reserve_orders([job(2, "pan"), job(1, "pan", attempt=2)])) == {job(2).id}


async def test_neighbours_give_back_at_the_same_time_and_each_once(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 99})
    reserver = Reserver(client)
    jobs = [job(number, Item("pan", 3)) for number in range(20)]
    assert await reserver.reserve_orders(jobs) == {}
    assert await read_count(client, "Berlin", "pan") == 39
    releases = [reserver.release_order(one.id, one.request.items) for one in jobs for _ in range(2)]
    assert Counter(await asyncio.gather(*releases)) == {True: 20, False: 20}
    assert await read_count(client, "Berlin", "pan") == 99
    # What they had before is in nobody's way.
    again = [Job(one.id, 2, one.request) for one in jobs]
    assert await reserver.reserve_orders(again) == {}
    assert await read_count(client, "Berlin", "pan") == 39
    assert {grant.held.attempt for grant in (await reserver.load_held([one.id for one in jobs])).values()} == {2}


@pytest.mark.parametrize("enough", [True, False])
async def test_what_a_killed_worker_has_sent_takes_nothing_once_the_next_attempt_is_decided(
    client: PersistenceClient, monkeypatch: pytest.MonkeyPatch, enough: bool
) -> None:
    await stock_items(client, {("Berlin", "pan"): 9})
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
    assert await read_count(client, "Berlin", "pan") == 5
    assert set(await read_held(client)) == ({job(1).id} if enough else set())


async def test_workers_that_share_a_block_and_run_short_share_what_there_is(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 70, ("Paris", "pan"): 50, ("Berlin", "agua"): 500})
    jobs = [job(number, "pan", "agua") for number in range(200)]
    workers = [Reserver(client) for _ in range(4)]

    async def work(number: int) -> dict[str, Exception | str]:
        refused: dict[str, Exception | str] = {}
        for start in range(number, 200, 40):
            refused |= await workers[number].reserve_orders(jobs[start : start + 40 : 4])
        return refused

    refused = set().union(*await asyncio.gather(*map(work, range(4))))
    assert [await read_count(client, store, "pan") for store in ("Berlin", "Paris")] == [0, 0]
    assert await read_count(client, "Berlin", "agua") == 380
    assert set(await read_held(client)) == {one.id for one in jobs} - refused
    assert len(refused) == 80


async def test_what_is_given_back_to_an_item_that_is_gone_makes_it_anew(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 3})
    reserver = Reserver(client)
    await reserver.reserve_orders([job(1, Item("pan", 2))])
    await client.transact([Delete(STOCK.name, {"store": "Berlin", "item": "pan"}), advance_catalogue()])
    before = (await client.get_item(INVENTORY.name, CATALOGUE_KEY)).version
    assert await reserver.release_order(job(1).id, [Item("pan", 2)])
    assert await read_count(client, "Berlin", "pan") == 2
    assert (await client.get_item(INVENTORY.name, CATALOGUE_KEY)).version == before + 1


@pytest.mark.parametrize("pages", [1, 5])
async def test_many_orders_of_many_products_are_reserved_in_parts(
    client: PersistenceClient, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(stock_index, "_ALL_PAGES", pages)
    monkeypatch.setattr(stock_index, "_PAGE", 50)
    names = [f"p{number:03}" for number in range(150)]
    await stock_items(client, {("Berlin", name): 20 for name in names})
    jobs = [job(number, *(names[(number * 7 + k) % 150] for k in range(5))) for number in range(1000)]
    refused = await Reserver(client).reserve_orders(jobs)
    holders = await read_held(client)
    assert {one.id for one in jobs} - holders.keys() == refused.keys()
    taken = Counter(name for one in jobs if one.id in holders for name in sum_quantities(one.request.items))
    assert all(set(one.request.items) <= holders[one.id].keys() for one in jobs if one.id in holders)
    assert 0 < len(refused) < 1000
    assert [await read_count(client, "Berlin", name) for name in names] == [20 - taken[name] for name in names]
    for reason in refused.values():
        short = str(reason).split(": ")[1]
        assert taken[short] == 20


async def test_count_that_is_no_number_can_not_be_taken_from(client: PersistenceClient) -> None:
    await stock_items(client, {("Berlin", "pan"): 3})
    reserver = Reserver(client)
    assert await reserver.reserve_orders([job(1, "pan")]) == {}
    key = {"store": "Berlin", "item": "pan"}
    await client.transact([Update(STOCK.name, key, set={"count": "many"}, when=Condition(exists=True))])
    (reason,) = (await reserver.reserve_orders([job(2, "pan")])).values()
    assert str(reason) == "out of stock: pan: 1 asked for, 0 left"
