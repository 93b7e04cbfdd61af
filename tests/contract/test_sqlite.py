"""What is SQLite's alone: files, versions, owners."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import StartupError, StoreError
from shared.stores.ports.orders import OrderListQuery, OrderStore
from shared.stores.sqlite import database
from shared.stores.sqlite.database import Writer, connect
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.work_store import SqliteWorkStore
from tests.contract.conftest import SqliteAdapter
from tests.support.orders import accept, ids, request


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """An empty database."""
    made = SqliteAdapter(tmp_path)
    yield made
    await made.close()


async def test_second_intake_on_the_same_files_is_refused(adapter: SqliteAdapter, orders: OrderStore) -> None:
    with pytest.raises(StartupError, match="another intake"):
        SqliteOrderStore(adapter.files)


async def test_keys_that_have_expired_are_freed_with_their_place_in_the_index(adapter: SqliteAdapter) -> None:
    now = time.time_ns() // 1000
    hour = 3_600_000_000
    store = await adapter.orders(request_id_seconds=3600)
    await store.recover()
    old = [request(str(number), request_id=f"old {number}") for number in range(1500)]
    await accept(store, *old, at=now - 2 * hour, room=2000)
    await accept(store, request(), at=now - 2 * hour)
    order_range = (await accept(store, request("new", request_id="new"), at=now)).orders
    await store.adopt_orphans()
    with contextlib.closing(sqlite3.connect(adapter.files.orders)) as connection:
        keys = connection.execute("SELECT request_id FROM orders WHERE request_id IS NOT NULL").fetchall()
        mark = connection.execute("SELECT value FROM meta WHERE name = 'keys_freed'").fetchone()
    assert keys == [("new",)]
    assert mark == (1501,)
    again = await accept(store, request("new", request_id="new"), *old[:2], at=now)
    assert (again.orders.count, again.existing[0].id) == (2, ids(order_range)[0])
    await adapter.close()
    reopened = await adapter.orders(request_id_seconds=3600)
    await reopened.recover()
    await reopened.adopt_orphans()


async def test_no_key_expires_at_once_where_the_clock_is_far_ahead_at_the_start(
    adapter: SqliteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await adapter.orders(request_id_seconds=3600)
    await store.recover()
    now = time.time_ns() // 1000
    first = await accept(store, request(request_id="key"), at=now - 4_000_000_000)
    await adapter.close()
    again = await adapter.orders(request_id_seconds=3600)
    await again.recover()
    await again.adopt_orphans()
    retried = await accept(again, request(request_id="key"), at=now)
    assert (retried.orders.count, retried.existing[0].id) == (0, ids(first.orders)[0])
    later = time.monotonic() + 601
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert (await accept(again, request(request_id="key"), at=now)).orders.count == 1


async def test_order_that_waits_for_years_makes_no_start_read_those_after_it(
    adapter: SqliteAdapter, orders: OrderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.sqlite.open_orders._RECENT_ORDERS", 5)
    delayed = ids((await accept(orders, request(no_antes_de="2099-01-01T00:00:00Z"))).orders)[0]
    order_range = (await accept(orders, *(request(str(number)) for number in range(20)))).orders
    for order in ids(order_range):
        await orders.cancel(order)

    def remembered() -> tuple[int, list[int]]:
        with contextlib.closing(connect(adapter.files.progress, read_only=True)) as connection:
            (mark,) = connection.execute("SELECT value FROM meta WHERE name = 'settled'").fetchone()
            return mark, [one for (one,) in connection.execute("SELECT sequence FROM stragglers").fetchall()]

    await orders.advance_watermark()
    assert remembered() == (order_range.first + 19, [order_range.first - 1])
    await orders.cancel(delayed)
    await orders.advance_watermark()
    assert remembered() == (order_range.first + 19, [])


async def test_files_of_a_newer_schema_are_refused(adapter: SqliteAdapter) -> None:
    with sqlite3.connect(adapter.files.orders) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StartupError, match="schema version 99"):
        SqliteOrderStore(adapter.files)


@pytest.mark.parametrize("content", ["newer", "garbage"])
def test_file_that_cannot_be_used_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    opened: list[Any] = []
    connect = database.sqlite.connect

    def noted(*words: Any, **members: Any) -> Any:
        opened.append(connect(*words, **members))
        return opened[-1]

    monkeypatch.setattr(database.sqlite, "connect", noted)
    path = tmp_path / "orders.db"
    if content == "garbage":
        path.write_bytes(b"no database at all" * 1000)
    else:
        with contextlib.closing(connect(path)) as file:
            file.execute("PRAGMA user_version = 99")
    with pytest.raises((StartupError, StoreError)):
        SqliteOrderStore(StoreFiles(path))
    assert opened
    for connection in opened:
        with pytest.raises(database.sqlite.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


async def test_file_that_is_no_database_is_refused(adapter: SqliteAdapter) -> None:
    adapter.files.orders.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises((StartupError, StoreError)):
        SqliteOrderStore(adapter.files)


async def test_new_intake_waits_for_a_former_ones_workers(tmp_path: Path) -> None:
    files = StoreFiles(tmp_path / "orders.db")
    orders = SqliteOrderStore(files, old_workers_seconds=0)
    work = SqliteWorkStore(files)
    with pytest.raises(StartupError, match="workers of a former run"):
        await orders.recover()
    await work.close()
    await orders.close()


async def test_refused_commit_leaves_no_trace_and_the_next_one_works(
    orders: OrderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_range = (await accept(orders, request("before"))).orders
    monkeypatch.setattr("shared.stores.sqlite.orders._ACCEPT_PLAIN", "INSERT INTO orders VALUES (?, ?, ?)")
    with pytest.raises(StoreError):
        await accept(orders, request("refused"))
    monkeypatch.undo()
    after = (await accept(orders, request("after"))).orders
    assert after.first == order_range.first + 1
    order = await orders.get(ids(after)[0])
    assert order is not None
    assert order.request.customer == "after"


async def test_everything_is_written_home_when_the_store_closes(adapter: SqliteAdapter, orders: OrderStore) -> None:
    await accept(orders, request())
    await adapter.close()
    for path in (adapter.files.orders, adapter.files.progress):
        assert not path.with_name(path.name + "-wal").exists()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


async def test_log_is_reused_and_stays_bounded(adapter: SqliteAdapter, orders: OrderStore) -> None:
    many = [request(str(number)) for number in range(2000)]
    sizes = []
    for _ in range(60):
        await accept(orders, *many, room=10**6)
        sizes.append(adapter.files.orders.with_name("orders.db-wal").stat().st_size)
    assert max(sizes) < 4 * 2**20


def test_writer_tells_a_missing_folder_in_our_words(adapter: SqliteAdapter) -> None:
    with pytest.raises(StoreError):
        Writer(adapter.files.orders / "no" / "folder.db")


async def test_lists_at_the_same_time_leave_no_thread_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = SqliteOrderStore(StoreFiles(tmp_path / "orders.db"))
    await store.recover()
    await asyncio.gather(*(store.list(OrderListQuery()) for _ in range(4)))
    readers = set(threading.enumerate()) - before
    await store.close()
    for reader in readers:
        reader.join(10)
    assert not [reader for reader in readers if reader.is_alive()]
