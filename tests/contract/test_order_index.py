"""Lists of orders on SQLite, with and without the index: each is compared with what a look at every order gives."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from shared.domain.ids import OrderRange
from shared.domain.names import name_key
from shared.domain.orders import Order
from shared.domain.states import State
from shared.stores.ports.orders import Done, Failure, OrderListQuery, OrderStore, WorkStore
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.database import connect
from shared.stores.sqlite.order_index import NOTHING, attach_index, customer_hash, read_coverage
from shared.stores.sqlite.order_indexer import OrderIndexer, unindexed_orders
from shared.stores.sqlite.order_search import OrderSearch
from shared.wire.orders import customer_of, encode_order
from tests.contract.conftest import SqliteAdapter
from tests.support.orders import accept, ids, request, ticket

NAMES = ("Ana", "ANA ", "Ána", "A\u0301na", 'A"na\\', "Eva", "eva\u200b", 'x","productos"')
NOW = 10_000_000
STEP = 1000


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4 orders, large segments of 16, and steps that cut both."""
    for module in ("order_index", "order_indexer", "order_search"):
        monkeypatch.setattr(f"shared.stores.sqlite.{module}.BLOCK", 4)
        monkeypatch.setattr(f"shared.stores.sqlite.{module}.SEGMENT", 16)
    monkeypatch.setattr("shared.stores.sqlite.order_search._FIRST_STEP", 8)
    monkeypatch.setattr("shared.stores.sqlite.order_search._SMALLEST_STEP", 3)
    monkeypatch.setattr("shared.stores.sqlite.order_search._GAP", 2)


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """An empty database."""
    made = SqliteAdapter(tmp_path)
    yield made
    await made.close()


async def place(orders: OrderStore, count: int, *, start: int = 0) -> list[str]:
    """Places orders of all names, some a batch, under a clock that goes back now and then."""
    placed: list[str] = []
    while len(placed) < count:
        number = start + len(placed)
        batch = [request(NAMES[(number + one) % len(NAMES)]) for one in range(min(number % 5 + 1, count - len(placed)))]
        at = NOW + number * STEP - (20 * STEP if number % 7 == 0 else 0)
        placed += ids((await accept(orders, *batch, at=at)).orders)
    return placed


async def work_off(orders: OrderStore, work: WorkStore, placed: Sequence[str]) -> None:
    """Brings orders to every state: most are done, few are not, and the newest wait."""
    for number, order_id in enumerate(placed[: -len(placed) // 5]):
        order = await orders.get(order_id)
        assert order is not None
        sequence = int(order_id[-12:], 16)
        if number % 11 == 3:
            await orders.cancel(order_id)
            continue
        order_range = OrderRange(order.received, 0, sequence, 1)
        await work.advance("w1", tickets=[ticket(order_range)], now=NOW)
        if number % 9 == 2:
            await work.advance("w1", failures=[Failure(sequence, 1, NOW, "no flour", None)], now=NOW)
        elif number % 10 != 5:
            await work.advance("w1", done=[Done(sequence, 1, NOW)], now=NOW)


def index_all(adapter: SqliteAdapter, steps: int | None = None) -> None:
    """Builds the index, or so many steps of it."""
    indexer = OrderIndexer(adapter.files)
    for _ in itertools.count() if steps is None else range(steps):
        if not indexer.index_segment():
            break
    indexer.close()


async def listed(orders: OrderStore, query: OrderListQuery) -> list[str]:
    """Every page of a list."""
    found: list[str] = []
    while True:
        page = await orders.list(query)
        found += [order.id for order in page.orders]
        assert len(page.orders) <= query.limit
        if page.before is None:
            return found
        query = query._replace(before=page.before)


async def check_lists(orders: OrderStore, placed: Sequence[str]) -> None:
    """Compares lists by everything that can be asked for."""
    everything: list[Order] = []
    for order_id in reversed(placed):
        order = await orders.get(order_id)
        assert order is not None
        everything.append(order)
    middle = sorted(order.received for order in everything)[len(everything) // 2]
    times = [(None, None), (middle, None), (None, middle), (middle, middle + 9 * STEP), (10**12, None)]
    for state, customer, (since, until) in itertools.product([None, *State], [None, " áNA", 'x","productos"'], times):
        expected = [
            order.id
            for order in everything
            if (state is None or order.state is state)
            and (customer is None or name_key(order.request.customer) == name_key(customer))
            and (since is None or order.received >= since)
            and (until is None or order.received < until)
        ]
        query = OrderListQuery(state=state, customer=customer, since=since, until=until, limit=7)
        assert await listed(orders, query) == expected, query
        if state in (State.QUEUED, State.RUNNING):
            places = [(int(order.id[-12:], 16), int(order.id[-12:], 16) + 1) for order in everything]
            # Places may overlap: what is in hand is within blocks of what waits.
            for among in (places, [*places[1::7], (0, 31), (31, 2**20)]):
                assert await listed(orders, query._replace(among=among)) == expected, query


async def test_lists_are_right_however_far_the_index_is(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    placed = await place(orders, 107)
    await work_off(orders, work, placed)
    await check_lists(orders, placed)
    for steps in (1, 4, 20):
        index_all(adapter, steps)
        await check_lists(orders, placed)
    # Small segments are added one by one, and become large ones.
    for _ in range(6):
        placed += await place(orders, 3, start=len(placed))
        index_all(adapter)
    await check_lists(orders, placed)
    assert unindexed_orders(adapter.files) < 5


async def test_every_spelling_of_a_customer_is_found(adapter: SqliteAdapter, orders: OrderStore) -> None:
    placed = await place(orders, 40)
    index_all(adapter)
    names = [customer_of(encode_order(request(name))) for name in NAMES]
    assert names == list(NAMES)
    assert customer_hash("Ána") == customer_hash(" A\u0301NA") != customer_hash("Ana")
    shown = [await orders.get(order_id) for order_id in await listed(orders, OrderListQuery(customer="EVA"))]
    assert {order.request.customer for order in shown if order is not None} == {"Eva", "eva\u200b"}
    every = [order for one in placed if (order := await orders.get(one)) is not None]
    assert len(shown) == len([order for order in every if name_key(order.request.customer) == "eva"])


async def test_index_that_is_deleted_or_damaged_is_made_again(adapter: SqliteAdapter, orders: OrderStore) -> None:
    placed = await place(orders, 60)
    index_all(adapter)
    expected = await listed(orders, OrderListQuery(customer="ana"))
    adapter.files.index.unlink()
    assert await listed(orders, OrderListQuery(customer="ana")) == expected
    index_all(adapter)
    assert unindexed_orders(adapter.files) < 5
    size = adapter.files.index.stat().st_size
    with adapter.files.index.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert await listed(orders, OrderListQuery(customer="ana")) == expected
    assert not adapter.files.index.exists()
    adapter.files.index.write_bytes(b"no database at all" * 500)
    assert unindexed_orders(adapter.files) == 60
    assert await listed(orders, OrderListQuery(customer="ana")) == expected
    index_all(adapter)
    assert unindexed_orders(adapter.files) < 5
    await check_lists(orders, placed)


async def test_index_of_other_orders_than_these_is_not_used_and_made_again(
    adapter: SqliteAdapter, orders: OrderStore, tmp_path: Path
) -> None:
    # A backup of 20 orders, while the index has 60.
    await place(orders, 20)
    copied = connect(tmp_path / "backup.db"), connect(adapter.files.orders)
    with contextlib.closing(copied[0]) as backup, contextlib.closing(copied[1]) as source:
        source.backup(backup)
    await place(orders, 40, start=20)
    index_all(adapter)
    await adapter.close()
    for path in (adapter.files.orders, adapter.files.progress):
        path.unlink()
    (tmp_path / "backup.db").rename(adapter.files.orders)
    again = await adapter.orders()
    await again.recover()
    with contextlib.closing(attach_index(connect(adapter.files.orders), adapter.files)) as connection:
        assert read_coverage(connection) == NOTHING
    placed = [order.id for order in reversed((await again.list(OrderListQuery(limit=1000))).orders)]
    placed += await place(again, 50, start=33)
    await check_lists(again, placed)
    index_all(adapter)
    with contextlib.closing(attach_index(connect(adapter.files.orders), adapter.files)) as connection:
        assert read_coverage(connection).stop > 60
    await check_lists(again, placed)


async def test_lists_of_open_states_look_at_nothing_that_is_settled(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await place(orders, 50)
    for order_id in placed[:40]:
        await orders.cancel(order_id)
    await orders.advance_watermark()
    read: list[tuple[int, int]] = []
    rows = OrderSearch._read_rows

    def note(search: OrderSearch, low: int, high: int) -> object:
        read.append((low, high))
        return rows(search, low, high)

    monkeypatch.setattr(OrderSearch, "_read_rows", note)
    assert await listed(orders, OrderListQuery(state=State.RUNNING)) == []
    assert min(low for low, _ in read) == int(placed[40][-12:], 16)
    read.clear()
    # Nothing is at work, and the server knows it: no order is looked at.
    assert await listed(orders, OrderListQuery(state=State.RUNNING, among=[])) == []
    assert read == []
    # Bounds of time end a list as well.
    index_all(adapter)
    assert await listed(orders, OrderListQuery(customer="nobody", since=10**12)) == []
    assert min((low for low, _ in read), default=51) > 40


async def test_archived_orders_leave_the_index(adapter: SqliteAdapter, orders: OrderStore, work: WorkStore) -> None:
    placed = await place(orders, 70)
    for order_id in placed[:50]:
        order_range = OrderRange(NOW, 0, int(order_id[-12:], 16), 1)
        await work.advance("w1", tickets=[ticket(order_range)], now=NOW)
        await work.advance("w1", done=[Done(order_range.first, 1, NOW)], now=NOW)
    index_all(adapter)
    with contextlib.closing(Archiver(adapter.files)) as archiver:
        assert archiver.archive_before(2**60, lambda _: None) == 50
    while await orders.tidy():
        pass
    index_all(adapter)
    with contextlib.closing(connect(adapter.files.index)) as index:
        for table, column in (("entries", "segment"), ("blocks", "first")):
            assert index.execute(f"SELECT min({column}) FROM {table}").fetchone() == (48,)
    page = await orders.list(OrderListQuery(customer="ana", limit=100))
    assert [order.id for order in page.orders] == [
        order_id for order_id in reversed(placed[50:]) if await is_of(orders, order_id, "ana")
    ]


async def is_of(orders: OrderStore, order_id: str, key: str) -> bool:
    order = await orders.get(order_id)
    return order is not None and name_key(order.request.customer) == key
