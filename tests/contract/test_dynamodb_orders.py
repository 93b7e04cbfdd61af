"""Orders on DynamoDB: several servers on the same tables, servers that die, and answers that get lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest

from shared.domain.errors import StoreError
from shared.domain.ids import OrderRange
from shared.domain.states import State
from shared.stores.dynamodb import stores
from shared.stores.dynamodb.client import DynamoClient, open_client
from shared.stores.dynamodb.orders import DynamoOrderStore
from shared.stores.dynamodb.settings import DynamoSettings, DynamoWorkSettings
from shared.stores.dynamodb.stores import dynamo_orders, dynamo_work
from shared.stores.dynamodb.work_store import DynamoWorkStore
from shared.stores.orders import OrderProgress
from shared.stores.ports.orders import Adoption, Cancellation, Done, Failure, OrderListQuery, Recovery, Superseded
from tests.support.dynamodb import own_tables
from tests.support.orders import accept, ids, request, ticket
from tests.support.proxy import Fault, Proxy

pytestmark = pytest.mark.server

NOW = 5_000_000
LEASE = 0.5


class Server(NamedTuple):
    """An intake and one of its workers."""

    orders: DynamoOrderStore
    work: DynamoWorkStore


class Servers:
    """Servers on the same tables, started by name."""

    def __init__(self, settings: DynamoSettings) -> None:
        self.settings = settings
        self.stack = contextlib.AsyncExitStack()

    async def start(self, endpoint: str | None = None, *, attempt_seconds: float = 0.5) -> tuple[Server, Recovery]:
        """Starts another server, behind a proxy with short deadlines if `endpoint` is one; returns what it finds."""
        settings = self.settings
        if endpoint is not None:
            settings = msgspec.structs.replace(settings, endpoint=endpoint, attempt_seconds=attempt_seconds)
            settings = msgspec.structs.replace(settings, deadline_seconds=3 * attempt_seconds)
        orders, where = await self.stack.enter_async_context(dynamo_orders(settings, lease_seconds=LEASE))
        recovery = await orders.recover()
        return Server(orders, await self.worker(where)), recovery

    async def worker(self, where: DynamoWorkSettings) -> DynamoWorkStore:
        return await self.stack.enter_async_context(dynamo_work(where))


@pytest.fixture
async def servers(dynamodb: str) -> AsyncIterator[Servers]:
    """None is running yet."""
    made = Servers(own_tables(dynamodb))
    async with made.stack:
        yield made


@pytest.fixture
async def proxy(dynamodb: str) -> AsyncIterator[Proxy]:
    """What spoils calls."""
    async with Proxy(dynamodb).running() as proxy:
        yield proxy


async def poll(server: Server) -> Adoption:
    """What the intake does now and then."""
    await server.orders.send_heartbeat()
    return await server.orders.adopt_orphans()


async def poll_until_adopted(server: Server) -> Adoption:
    """As the intake does it, until there is something to take over."""
    while True:
        adoption = await poll(server)
        if adoption.adopted:
            return adoption


async def state(server: Server, order_id: str) -> State:
    order = await server.orders.get(order_id)
    assert order is not None
    return order.state


# Several servers.


async def test_servers_see_each_others_orders_and_keys(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    first = (await accept(one.orders, request("Ana", request_id="r1"), at=1_000_000)).orders
    second = (await accept(other.orders, request("Eva"), at=2_000_000)).orders
    listed = await one.orders.list(OrderListQuery())
    assert [order.id for order in listed.orders] == ids(second) + ids(first)
    again = await accept(other.orders, request("Ana", request_id="r1"), request("Ana", request_id="r1"))
    assert [found.id for found in again.existing.values()] == ids(first) * 2
    assert not (await accept(other.orders, request("Eva", request_id="r1"))).existing[0].same


async def test_order_that_another_server_cancels_is_not_begun(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_range = (await accept(one.orders, request())).orders
    assert await other.orders.cancel(ids(order_range)[0]) == Cancellation(State.QUEUED)
    assert (await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)).refused == [order_range]


async def test_worker_begins_no_order_of_another_server(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_range = (await accept(one.orders, request())).orders
    assert (await other.work.advance("w", tickets=[ticket(order_range)], now=NOW)).refused == [order_range]
    assert len((await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)).claims) == 1


async def fail(server: Server) -> str:
    """The id of a new order of this server that is `fallido`."""
    order_range = (await accept(server.orders, request())).orders
    await server.work.advance("w", tickets=[ticket(order_range)], now=NOW)
    await server.work.advance("w", failures=[Failure(order_range.first, 1, NOW, "broken", None)], now=NOW)
    return ids(order_range)[0]


async def test_failed_order_that_is_tried_again_elsewhere_is_queued_by_its_own_server(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_id = await fail(one)
    assert await other.orders.retry(order_id) is None
    adoption = await poll(one)
    assert [next(entry.orders.ids()) for entry in adoption.reopened] == [order_id]
    assert (await poll(one)).reopened == []
    assert await other.orders.retry(order_id) is State.QUEUED


async def test_failed_order_that_was_counted_is_tried_again_by_whoever_is_asked(servers: Servers) -> None:
    one, _ = await servers.start()
    order_id = await fail(one)
    await one.orders.close()
    other, recovery = await servers.start()
    assert (recovery.open, recovery.totals[State.FAILED]) == ([], 1)
    entry = await other.orders.retry(order_id)
    assert not isinstance(entry, State | None)
    claims = (await other.work.advance("w", tickets=[ticket(entry.orders, 2)], now=NOW)).claims
    assert len(claims) == 1
    await other.work.advance("w", done=[Done(entry.orders.first, 2, NOW)], now=NOW)
    await other.orders.close()
    _, recovery = await servers.start()
    assert recovery.totals == {State.DONE: 1, State.FAILED: 0, State.CANCELLED: 0}


async def test_failed_order_that_is_discarded_elsewhere_is_told_to_its_own_server_once(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_id = await fail(one)
    assert await other.orders.cancel(order_id) == Cancellation(State.FAILED, here=False)
    adoption = await poll(one)
    assert ([next(order_range.ids()) for order_range in adoption.discarded], adoption.reopened) == ([order_id], [])
    assert (await poll(one)).discarded == []
    assert await one.orders.cancel(order_id) is State.CANCELLED


async def test_failed_order_that_was_tried_again_and_cancelled_elsewhere_is_told_as_discarded(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_id = await fail(one)
    assert await other.orders.retry(order_id) is None
    assert await other.orders.cancel(order_id) == Cancellation(State.QUEUED)
    adoption = await poll(one)
    assert ([next(order_range.ids()) for order_range in adoption.discarded], adoption.reopened) == ([order_id], [])


async def test_failed_order_that_was_counted_can_be_discarded_and_is_counted_as_such(servers: Servers) -> None:
    one, _ = await servers.start()
    order_id = await fail(one)
    await one.orders.close()
    other, recovery = await servers.start()
    assert recovery.totals[State.FAILED] == 1
    assert await other.orders.cancel(order_id) == Cancellation(State.FAILED)
    await other.orders.close()
    _, recovery = await servers.start()
    assert recovery.totals == {State.DONE: 0, State.FAILED: 0, State.CANCELLED: 1}
    assert (recovery.accepted, recovery.open) == (1, [])


async def test_server_counts_no_block_in_which_another_discards_an_order_meanwhile(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    order_id = await fail(one)
    read = one.orders._chunks.read_block_progress

    async def read_and_be_overtaken(block: int) -> list[OrderProgress]:
        rows = await read(block)
        assert await other.orders.cancel(order_id) == Cancellation(State.FAILED, here=False)
        return rows

    monkeypatch.setattr(one.orders._chunks, "read_block_progress", read_and_be_overtaken)
    await one.orders.close()
    await other.orders.close()
    _, recovery = await servers.start()
    assert recovery.totals == {State.DONE: 0, State.FAILED: 0, State.CANCELLED: 1}


async def test_totals_are_counted_once(servers: Servers) -> None:
    one, _ = await servers.start()
    for _ in range(3):
        order_range = (await accept(one.orders, *(request(str(n)) for n in range(300)))).orders
        await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)
        await one.work.advance(
            "w", done=[Done(n, 1, NOW) for n in range(order_range.first, order_range.first + 300)], now=NOW
        )
        await one.orders.advance_watermark()
    await one.orders.close()
    for _ in range(2):
        again, recovery = await servers.start()
        assert (recovery.accepted, recovery.totals[State.DONE], recovery.open) == (900, 900, [])
        await again.orders.close()


# Servers that die.


async def test_dead_servers_orders_are_taken_over_once_and_its_workers_fenced_off(servers: Servers) -> None:
    dead, one, other = [(await servers.start())[0] for _ in range(3)]
    order_range = (await accept(dead.orders, *(request(str(n)) for n in range(3)))).orders
    await dead.work.advance("old", tickets=[ticket(order_range)], now=NOW)
    await dead.work.advance("old", done=[Done(order_range.first, 1, NOW)], now=NOW)
    found: list[tuple[Server, Recovery]] = []
    while not found:
        both = await asyncio.gather(poll(one), poll(other))
        found = [
            (server, left) for server, adoption in zip((one, other), both, strict=True) for left in adoption.adopted
        ]
    ((one, recovery),) = found
    (left,) = recovery.open
    assert (left.orders.first, left.orders.count, left.attempt) == (order_range.first + 1, 2, 1)
    assert recovery.totals[State.DONE] == 1
    late = await dead.work.advance("old", done=[Done(order_range.first + 1, 1, NOW)], now=NOW)
    assert late.lost == {order_range.first + 1}
    assert (await one.work.advance("new", tickets=[ticket(left.orders, 2)], now=NOW)).refused == []
    assert (await one.work.advance("new", done=[Done(order_range.first + 1, 2, NOW)], now=NOW)).lost == set()
    assert await state(one, ids(order_range)[1]) is State.DONE
    with pytest.raises(Superseded):
        await dead.orders.send_heartbeat()


async def test_server_taken_for_dead_accepts_nothing_more(servers: Servers) -> None:
    dead, one = (await servers.start())[0], (await servers.start())[0]
    await accept(dead.orders, request("before"))
    await poll_until_adopted(one)
    with pytest.raises(StoreError):
        await accept(dead.orders, request("behind the back of the other"))
    assert [order.request.customer for order in (await one.orders.list(OrderListQuery())).orders] == ["before"]


async def test_server_that_stopped_leaves_its_orders_at_once(servers: Servers) -> None:
    one, _ = await servers.start()
    order_range = (await accept(one.orders, request())).orders
    await one.orders.close()
    _, recovery = await servers.start()
    assert [entry.orders for entry in recovery.open] == [order_range]


async def test_server_that_shows_its_beat_keeps_its_orders(servers: Servers) -> None:
    one, other = (await servers.start())[0], (await servers.start())[0]
    await accept(one.orders, request())
    dead, _ = await servers.start()
    order_range = (await accept(dead.orders, request())).orders
    adopted: list[Recovery] = []
    while not adopted:
        # Either may be the first to notice.
        for server in (other, one):
            adopted += (await poll(server)).adopted
    assert [entry.orders for left in adopted for entry in left.open] == [order_range]
    await poll(one)


# Answers that get lost.


@pytest.mark.parametrize(("operation", "number"), [("PutItem", 3), ("TransactWriteItems", 600)])
async def test_acceptance_whose_answer_is_lost_is_stored_once(
    servers: Servers, proxy: Proxy, operation: str, number: int
) -> None:
    one, _ = await servers.start(proxy.endpoint)
    await accept(one.orders, request("first"))
    proxy.faults.append(Fault(operation, lost=True))
    order_range = (await accept(one.orders, *(request(str(n)) for n in range(number)))).orders
    assert not proxy.faults
    assert order_range.count == number
    listed = await one.orders.list(OrderListQuery(limit=1000))
    assert len(listed.orders) == number + 1


async def test_keyed_order_whose_answer_is_lost_is_no_duplicate_of_itself(servers: Servers, proxy: Proxy) -> None:
    one, _ = await servers.start(proxy.endpoint)
    proxy.faults.append(Fault("TransactWriteItems", lost=True))
    acceptance = await accept(one.orders, request(request_id="r1"))
    assert (acceptance.orders.count, acceptance.existing) == (1, {})


@pytest.mark.parametrize("reaches", [True, False])
async def test_acceptance_without_an_answer_is_found_or_never_stored(
    servers: Servers, proxy: Proxy, reaches: bool
) -> None:
    one, _ = await servers.start(proxy.endpoint)
    await accept(one.orders, request("first"))
    proxy.faults += [Fault("PutItem", lost=reaches, hangs=not reaches)] * 100
    with pytest.raises(StoreError):
        await accept(one.orders, request("doubtful"))
    proxy.faults.clear()
    adoption = await poll(one)
    order_range = (await accept(one.orders, request("next"))).orders
    listed = [order.request.customer for order in (await one.orders.list(OrderListQuery())).orders]
    assert listed == (["next", "doubtful", "first"] if reaches else ["next", "first"])
    assert sum(entry.orders.count for entry in adoption.found) == reaches
    assert (await poll(one)).found == []
    assert (await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)).refused == []


@pytest.mark.parametrize(("failed", "operation"), [(False, "PutItem"), (True, "TransactWriteItems")])
async def test_cancelling_whose_answer_is_lost_is_no_conflict(
    servers: Servers, proxy: Proxy, failed: bool, operation: str
) -> None:
    one, _ = await servers.start(proxy.endpoint)
    order_id = await fail(one) if failed else ids((await accept(one.orders, request())).orders)[0]
    proxy.faults.append(Fault(operation, lost=True))
    assert await one.orders.cancel(order_id) == Cancellation(State.FAILED if failed else State.QUEUED)
    assert not proxy.faults


async def test_failure_that_is_recorded_again_after_its_order_was_discarded_is_not_lost(
    servers: Servers, proxy: Proxy
) -> None:
    one, _ = await servers.start(proxy.endpoint)
    other, _ = await servers.start()
    order_range = (await accept(one.orders, request())).orders
    await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)

    async def discard() -> None:
        assert await other.orders.cancel(ids(order_range)[0]) == Cancellation(State.FAILED, here=False)

    proxy.faults.append(Fault("PutItem", lost=True, meanwhile=discard))
    advance = await one.work.advance("w", failures=[Failure(order_range.first, 1, NOW, "broken", None)], now=NOW)
    assert not proxy.faults
    assert not advance.lost
    assert await state(one, ids(order_range)[0]) is State.CANCELLED


async def test_turn_of_a_worker_whose_answer_is_lost_is_recorded_once(servers: Servers, proxy: Proxy) -> None:
    one, _ = await servers.start(proxy.endpoint)
    order_range = (await accept(one.orders, request(), request())).orders
    proxy.faults.append(Fault("PutItem", lost=True))
    (claim,) = (await one.work.advance("w", tickets=[ticket(order_range)], now=NOW)).claims
    assert claim.ticket.orders == order_range
    proxy.faults.append(Fault("PutItem", lost=True))
    failure = Failure(order_range.first + 1, 1, NOW, "busy", NOW + 10)
    advance = await one.work.advance("w", done=[Done(order_range.first, 1, NOW)], failures=[failure], now=NOW)
    assert not advance.lost
    assert not proxy.faults
    rest = OrderRange(order_range.received, order_range.node, order_range.first + 1, 1)
    again = await one.work.advance("w", tickets=[ticket(rest, 2)], now=NOW)
    assert [claim.failures for claim in again.claims] == [1]


async def test_part_of_a_batch_that_the_store_does_not_take_is_refused(servers: Servers, proxy: Proxy) -> None:
    # A hundred orders in one transaction take the server longer than one.
    one, _ = await servers.start(proxy.endpoint, attempt_seconds=2.0)
    orders = [request(str(n), request_id=f"r{n}") for n in range(150)]
    proxy.faults += [Fault("TransactWriteItems"), *([Fault("TransactWriteItems", hangs=True)] * 100)]
    acceptance = await accept(one.orders, *orders)
    assert acceptance.refused is not None
    assert (acceptance.orders.count, list(acceptance.accepted)) == (99, list(range(99)))
    proxy.faults.clear()
    again = await accept(one.orders, *orders)
    assert (len(again.existing), again.orders.count) == (99, 51)


async def test_expired_keys_are_removed_by_the_table_where_it_can(
    dynamodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = own_tables(dynamodb)
    # A second start finds it switched on.
    for _ in range(2):
        async with dynamo_orders(settings, lease_seconds=60, request_id_seconds=60) as (store, _):
            await store.recover()
    async with open_client(settings) as client:
        lives = await client.call("describe_time_to_live", TableName=f"{settings.prefix}OrderKeys")
    assert lives["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "e"}

    async def refuse(_: DynamoClient) -> None:
        raise StoreError("AccessDeniedException")

    monkeypatch.setattr(stores, "expire_keys", refuse)
    async with dynamo_orders(settings, lease_seconds=60, request_id_seconds=60) as (store, _):
        await store.recover()
        assert (await accept(store, request(request_id="k"))).orders.count == 1
