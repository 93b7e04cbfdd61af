"""What the outbox of orders tells: everything that has happened, in order, once, from any position on.

DynamoDB has no feed of orders. Tests about files and about the size of batches are for SQLite alone: the fake has no
files, and what it reads is in memory already.
"""

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.domain.states import TRANSITIONS, State
from shared.domain.tables import SCORES, suite_tables
from shared.stores.ports.feeds import OrderFeed, OrderStateChange
from shared.stores.ports.orders import Done, Failure, HandBack, OrderStore, WorkStore
from shared.stores.sqlite.database import connect, migrate
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.record_feed import SqliteRecordFeed
from shared.stores.sqlite.records import SqliteRecordStore
from tests.contract.conftest import MemoryAdapter, SqliteAdapter
from tests.support.orders import accept, ids, request, ticket

LIMIT = 1000


on_files = pytest.mark.parametrize("adapter", ["sqlite"], indirect=True)


@pytest.fixture(params=["memory", "sqlite"])
async def adapter(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqliteAdapter | MemoryAdapter]:
    """An empty database."""
    made = SqliteAdapter(tmp_path) if request.param == "sqlite" else MemoryAdapter()
    yield made
    await made.close()


@pytest.fixture
async def feed(adapter: SqliteAdapter | MemoryAdapter, orders: OrderStore) -> AsyncIterator[OrderFeed]:
    """Follows the orders."""
    made = adapter.feed()
    yield made
    made.close()


async def follow(feed: OrderFeed, after: str | None = None, limit: int = LIMIT) -> tuple[list[OrderStateChange], str]:
    """Everything behind a position, and the position at its end."""
    found: list[OrderStateChange] = []
    while True:
        events = await feed.read_events(after, limit=limit)
        assert events is not None
        if events.position == after:
            return found, after
        found += events.events
        after = events.position


def told(events: list[OrderStateChange]) -> list[tuple[str, list[str]]]:
    return [
        (one.transition.event, [order for order_range in one.ranges for order in order_range.ids()]) for one in events
    ]


def counted(events: list[OrderStateChange]) -> dict[State, int]:
    counts: Counter[State] = Counter()
    for one in events:
        assert one.transition in TRANSITIONS
        if one.transition.source is not None:
            counts[one.transition.source] -= one.orders
        counts[one.transition.target] += one.orders
    return {state: count for state, count in counts.items() if count}


async def test_files_that_are_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    adapter = SqliteAdapter(tmp_path)
    feed = SqliteOrderFeed(adapter.files)
    assert await feed.read_events(None, limit=LIMIT) is None
    store = await adapter.orders()
    await accept(store, request())
    assert [event for event, _ in told((await follow(feed))[0])] == ["order.accepted"]
    feed.close()
    await adapter.close()


async def test_files_that_are_being_made_are_no_error(tmp_path: Path) -> None:
    files = StoreFiles(tmp_path / "orders.db")
    feed = SqliteOrderFeed(files)
    with contextlib.ExitStack() as opened:
        for path, schema in ((files.orders, "orders"), (files.progress, "progress")):
            path.touch()
            assert await feed.read_events(None, limit=LIMIT) is None
            making = connect(path)
            opened.callback(making.close)
            # In the rollback mode that a new file begins in, whoever makes it keeps readers out.
            making.execute("PRAGMA journal_mode = DELETE")
            making.execute("BEGIN EXCLUSIVE")
            assert await feed.read_events(None, limit=LIMIT) is None
            making.execute("ROLLBACK")
            migrate(making, path, schema)
        # The schema is there, and the name of the store is not.
        assert await feed.read_events(None, limit=LIMIT) is None
    adapter = SqliteAdapter(tmp_path)
    await accept(await adapter.orders(), request())
    assert [event for event, _ in told((await follow(feed))[0])] == ["order.accepted"]
    feed.close()
    await adapter.close()


async def test_records_that_are_being_made_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    feed = SqliteRecordFeed(path, [SCORES])
    assert await feed.read_changes(None, limit=LIMIT) is None
    path.touch()
    assert await feed.read_changes(None, limit=LIMIT) is None
    with contextlib.closing(connect(path)) as making:
        # In the rollback mode that a new file begins in, readers are kept out.
        making.execute("PRAGMA journal_mode = DELETE")
        making.execute("BEGIN EXCLUSIVE")
        assert await feed.read_changes(None, limit=LIMIT) is None
        making.execute("ROLLBACK")
        migrate(making, path, "records")
        assert await feed.read_changes(None, limit=LIMIT) is None
    store = SqliteRecordStore(path, suite_tables("CorporateData", "CorporateLog"))
    found = await feed.read_changes(None, limit=LIMIT)
    assert found is not None
    assert found.changes == []
    await store.close()
    await feed.close()


async def test_life_of_an_order(feed: OrderFeed, orders: OrderStore, work: WorkStore) -> None:
    order_range = (
        await accept(orders, request("Ana", productos=["pan", {"producto": "agua", "cantidad": 3}, "pan"]))
    ).orders
    await work.advance("w1", tickets=[ticket(order_range)], now=1_400_000)
    await work.advance("w1", done=[Done(order_range.first, 1, 1_900_000)], now=1_900_100)
    events, _ = await follow(feed)
    assert told(events) == [
        (event, ids(order_range)) for event in ("order.accepted", "order.started", "order.finished")
    ]
    accepted, _, finished = events
    assert accepted.products == {"pan": (1, 2), "agua": (1, 3)}
    assert {tuple(one.customers) for one in events} == {("Ana",)}
    assert (accepted.at, finished.at) == (1_000_000, 1_900_100)
    assert sum(finished.waiting.values()) == sum(finished.processing.values()) == 1
    assert counted(events) == {State.DONE: 1}


async def test_every_way_through_the_states_is_told(feed: OrderFeed, orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, *(request(f"c{number}") for number in range(9)))).orders
    one, two, three, four, five, *_, nine = range(order_range.first, order_range.first + 9)
    await orders.cancel(ids(order_range)[6])
    await work.advance("w1", tickets=[ticket(order_range)], now=1_400_000)
    failures = [Failure(two, 1, 1_500_000, "no", None), Failure(three, 1, 1_500_000, "not yet", 1_600_000)]
    failures.append(Failure(nine, 1, 1_500_000, "never", None))
    await work.advance(
        "w1",
        done=[Done(one, 1, 1_500_000), Done(four, 9, 1)],
        failures=failures,
        handed_back=[HandBack(five, 1)],
        now=2,
    )
    await orders.retry(ids(order_range)[1])
    await orders.cancel(ids(order_range)[8])
    await orders.rescue([ticket(order_range)], poison=0)
    events, _ = await follow(feed)
    assert counted(events) == {State.DONE: 1, State.FAILED: 3, State.CANCELLED: 2, State.QUEUED: 3}
    ways = {(one.transition.source, one.transition.target) for one in events}
    assert ways == {step[:2] for step in TRANSITIONS}
    details = {(one.transition.event, one.detail) for one in events if one.detail}
    assert details == {
        ("order.failed", "no"),
        ("order.failed", "never"),
        ("order.requeued", "not yet"),
        ("order.failed", "its worker died more than 0 times"),
    }


async def test_what_was_under_way_at_the_end_is_told_to_be_queued_again(
    adapter: SqliteAdapter | MemoryAdapter, feed: OrderFeed, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await work.advance("w1", tickets=[ticket(order_range)], now=1_400_000)
    await adapter.close()
    await (await adapter.orders()).recover()
    events, _ = await follow(feed)
    assert [event for event, _ in told(events)] == ["order.accepted", "order.started", "order.requeued"]
    assert counted(events) == {State.QUEUED: 2}


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_any_position_can_be_gone_on_from(
    feed: OrderFeed, orders: OrderStore, work: WorkStore, limit: int
) -> None:
    ranges = [(await accept(orders, *[request()] * 3, at=at)).orders for at in (1_000_000, 2_000_000, 3_000_000)]
    for order_range in reversed(ranges):
        await work.advance("w1", tickets=[ticket(order_range)], now=4_000_000)
    done = [Done(order_range.first + place, 1, 5_000_000) for place in (2, 0) for order_range in ranges]
    await work.advance("w1", done=done, now=5_000_000)
    events, end = await follow(feed, limit=limit)
    whole, same_end = await follow(feed)
    assert end == same_end
    assert counted(events) == counted(whole) == {State.DONE: 6, State.RUNNING: 3}
    seen: set[str] = set()
    for event, orders_of_it in told(events):
        if event == "order.accepted":
            seen |= set(orders_of_it)
        assert set(orders_of_it) <= seen, "something happened to an order before it was accepted"
    assert (await follow(feed, end)) == ([], end)


@on_files
async def test_position_of_another_store_begins_anew(
    adapter: SqliteAdapter, feed: OrderFeed, orders: OrderStore, tmp_path: Path
) -> None:
    await accept(orders, request(), request())
    _, end = await follow(feed)
    other = SqliteAdapter(tmp_path / "other")
    other.files.orders.parent.mkdir()
    await accept(await other.orders(), request("new"))
    follower = SqliteOrderFeed(other.files)
    events = await follower.read_events(end, limit=LIMIT)
    assert events is not None
    assert events.restarted
    assert [one.customers for one in events.events] == [["new"]]
    follower.close()
    await other.close()


@on_files
async def test_position_behind_the_end_of_a_restored_store_begins_anew(
    adapter: SqliteAdapter, feed: OrderFeed, orders: OrderStore, tmp_path: Path
) -> None:
    await accept(orders, request("first"))
    await adapter.close()
    restored = SqliteAdapter(tmp_path / "restored")
    shutil.copytree(
        adapter.files.orders.parent, restored.files.orders.parent, ignore=shutil.ignore_patterns("restored")
    )
    await accept(await adapter.orders(), request("second"))
    _, end = await follow(feed)
    follower = SqliteOrderFeed(restored.files)
    events = await follower.read_events(end, limit=LIMIT)
    assert events is not None
    assert events.restarted
    assert [one.customers for one in events.events] == [["first"]]
    follower.close()


@on_files
async def test_entry_of_before_failed_orders_could_be_cancelled_is_read(
    adapter: SqliteAdapter, feed: OrderFeed, orders: OrderStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await orders.cancel(ids(order_range)[1])
    with sqlite3.connect(adapter.files.progress) as connection:
        old = f'{{"cancelled":[[{order_range.first},1]]}}'
        connection.execute("INSERT INTO moves (at, last, moves) VALUES (2, ?, ?)", (order_range.first, old))
    connection.close()
    assert counted((await follow(feed))[0]) == {State.CANCELLED: 2}


@on_files
async def test_files_that_are_older_than_the_outbox_tell_the_shortest_way(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, *(request(f"c{number}") for number in range(6)))).orders
    await orders.cancel(ids(order_range)[4])
    await work.advance("w1", tickets=[ticket(order_range)], now=1_400_000)
    failures = [
        Failure(order_range.first + 1, 1, 1_500_000, "no", None),
        Failure(order_range.first + 2, 1, 1_500_000, "", 1_600_000),
    ]
    failures.append(Failure(order_range.first + 5, 1, 1_500_000, "never", None))
    await work.advance("w1", done=[Done(order_range.first, 1, 1_500_000)], failures=failures, now=1_500_000)
    await orders.cancel(ids(order_range)[5])
    await adapter.close()
    with sqlite3.connect(adapter.files.progress) as connection:
        connection.executescript(
            "DROP TABLE stragglers; "
            "DROP TABLE archives; DROP TABLE attempts; DROP VIEW past; DROP TABLE moves; PRAGMA user_version = 1;"
        )
    connection.close()
    await adapter.orders()
    feed = SqliteOrderFeed(adapter.files)
    events, _ = await follow(feed)
    expected = {State.DONE: 1, State.FAILED: 1, State.QUEUED: 1, State.RUNNING: 1, State.CANCELLED: 2}
    assert counted(events) == expected
    feed.close()


@on_files
async def test_large_orders_come_in_small_batches(feed: OrderFeed, orders: OrderStore, work: WorkStore) -> None:
    large = [f"{number} ".ljust(200, "x") for number in range(1000)]
    ranges = [(await accept(orders, *[request(str(n), productos=large) for n in range(40)])).orders for _ in range(2)]
    for order_range in ranges:
        await work.advance("w1", tickets=[ticket(order_range)], now=1_400_000)
    accepted: list[str] = []
    after: str | None = None
    while len(accepted) < 80:
        found = await feed.read_events(after, limit=LIMIT)
        assert found is not None
        new = [
            customer for one in found.events if one.transition.event == "order.accepted" for customer in one.customers
        ]
        assert 0 < len(new) <= 60
        accepted += new
        after = found.position
    assert accepted == [str(n) for n in range(40)] * 2
    events, _ = await follow(feed)
    assert counted(events) == {State.RUNNING: 80}
    assert [
        customer for one in events if one.transition.event == "order.started" for customer in one.customers
    ] == accepted
