"""Another program, as a database browser, holds the write lock of a file: nobody else waits for it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.distributed.read_model import ReadModel
from shared.domain.records import Put, Record, Table, Transaction, Update
from shared.domain.states import State
from shared.domain.tables import Tables
from shared.stores.ports.orders import OrderStore, WorkStore
from shared.stores.ports.records import ItemLookup
from shared.stores.sqlite.database import Connection, StoreBusy, connect
from shared.stores.sqlite.records import SqliteRecordStore
from tests.contract.conftest import SqliteAdapter
from tests.support.intake import PATIENCE
from tests.support.orders import accept, ids, request, ticket

THINGS = Table("Things", partition="id")


@pytest.fixture
async def adapter(tmp_path: Path) -> SqliteAdapter:
    """An empty database."""
    return SqliteAdapter(tmp_path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Connection]:
    """A foreign transaction that writes nothing.

    By the store's own SQLite library: two libraries in one process do not see each other's locks.
    """
    connection = connect(path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


class Turns:
    """Counts turns of the event loop while a block runs."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> "Turns":
        self._task = asyncio.create_task(self._tick())
        # Its first pause begins before any pause of the block.
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.count += 1


async def test_orders_are_refused_while_the_loop_goes_on_and_none_is_lost_or_doubled(
    adapter: SqliteAdapter, orders: OrderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await accept(orders, request("before"))).orders
    with locked(adapter.files.orders):
        async with Turns() as turns:
            with pytest.raises(StoreBusy, match=r"orders\.db is locked by another program"):
                await accept(orders, request("first"))
        assert turns.count > 0
        # Who has seen the lock once does not wait for it again, and what only reads goes on.
        monkeypatch.setattr("shared.stores.sqlite.busy_retry._WAIT_SECONDS", 2 * PATIENCE)
        async with asyncio.timeout(PATIENCE):
            for _ in range(5):
                with pytest.raises(StoreBusy):
                    await accept(orders, request("next", request_id="key"))
                assert await orders.get(ids(before)[0])
    after = (await accept(orders, request("after"), request("next", request_id="key"))).orders
    assert (after.first, after.count) == (before.first + 1, 2)


async def test_lock_that_is_held_for_a_moment_is_not_noticed(adapter: SqliteAdapter, orders: OrderStore) -> None:
    with locked(adapter.files.orders) as other:
        taken = asyncio.create_task(accept(orders, request()))
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        assert (await taken).orders.count == 1


async def test_who_cancels_and_who_works_is_not_held_up_by_a_lock_on_progress(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    with locked(adapter.files.progress):
        async with Turns() as turns:
            with pytest.raises(StoreBusy):
                await orders.cancel(ids(order_range)[0])
        assert turns.count > 0
        began = time.monotonic()
        with pytest.raises(StoreBusy):
            await work.advance("w1", tickets=[ticket(order_range)], now=1)
        assert time.monotonic() - began < 4.0
        assert (await accept(orders, request())).orders.count == 1
    assert [
        claim.ticket.orders for claim in (await work.advance("w1", tickets=[ticket(order_range)], now=1)).claims
    ] == [order_range]
    found = await orders.get(ids(order_range)[0])
    assert found is not None
    assert found.state is State.RUNNING


async def test_records_are_refused_while_the_loop_goes_on(tmp_path: Path) -> None:
    store = SqliteRecordStore(tmp_path / "records.db", Tables(THINGS))
    put = [Transaction("t", [Put("Things", {"id": "a"})])]
    with locked(tmp_path / "records.db"):
        async with Turns() as turns:
            with pytest.raises(StoreBusy):
                await store.write(put)
        assert turns.count > 0
        assert await store.get([ItemLookup("t", "Things", {"id": "a"})]) == [None]
    ((written,),) = [outcome for outcome in await store.write(put) if isinstance(outcome, list)]
    assert written.new is not None
    assert written.new.version == 1
    # Reads show what is committed, also of items that are in memory.
    update = [Transaction("t", [Update("Things", {"id": "a"}, set={"n": number})]) for number in range(2)]
    await store.write(update[:1])
    with locked(tmp_path / "records.db"), pytest.raises(StoreBusy):
        await store.write(update[1:])
    (found,) = await store.get([ItemLookup("t", "Things", {"id": "a"})])
    assert found == Record({"id": "a", "n": 0}, 2)
    await store.close()


def test_what_the_distributed_service_writes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "distributed.db"
    read_model = ReadModel(path, max_events=10, event_seconds=60, max_notifications=10)
    began = time.monotonic()
    with locked(path), pytest.raises(StoreBusy), read_model.transaction(1) as commit:
        commit([])
    assert time.monotonic() - began < 4.0
    with read_model.transaction(1) as commit:
        read_model.save_position("orders", "1")
        commit([])
    assert read_model.load_position("orders") == "1"
    read_model.close()
