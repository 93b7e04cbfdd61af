"""Archived orders: each once in one file, readable as before, and gone from the store without a trace in its counts."""

import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from shared.domain.errors import Conflict, StartupError, StoreError
from shared.domain.ids import OrderRange
from shared.domain.states import State
from shared.runtime.file_lock import FileLock
from shared.stores.archive_format import ArchiveBlock, ArchivedOrder, encode_archive
from shared.stores.ports.orders import Done, Failure, OrderStore, WorkStore
from shared.stores.sqlite import archiver, archives, upkeep
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.database import Writer, connect
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.order_positions import OrderPosition
from shared.stores.sqlite.orders import SqliteOrderStore
from tests.contract.conftest import SqliteAdapter
from tests.support.orders import accept, ids, request, ticket

ALWAYS = 2**60


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """An empty database."""
    made = SqliteAdapter(tmp_path)
    yield made
    await made.close()


def archive(adapter: SqliteAdapter, before: int = ALWAYS) -> int:
    with contextlib.closing(Archiver(adapter.files)) as archiver:
        return archiver.archive_before(before, lambda _: None)


async def tidy(orders: OrderStore) -> None:
    while await orders.tidy():
        pass


async def do(orders: OrderStore, work: WorkStore, count: int = 3, at: int = 1_000_000) -> OrderRange:
    """Orders that are accepted and done."""
    order_range = (await accept(orders, *(request(f"c{number}") for number in range(count)), at=at)).orders
    await work.advance("w", tickets=[ticket(order_range)], now=at)
    done = [Done(sequence, 1, at + 5) for sequence in range(order_range.first, order_range.first + count)]
    await work.advance("w", done=done, now=at)
    return order_range


async def fail(orders: OrderStore, work: WorkStore) -> OrderRange:
    """An order that has failed."""
    order_range = (await accept(orders, request("unlucky"))).orders
    await work.advance("w", tickets=[ticket(order_range)], now=1_000_000)
    await work.advance("w", failures=[Failure(order_range.first, 1, 1_000_005, "no stock", None)], now=1_000_000)
    return order_range


def rows(adapter: SqliteAdapter) -> tuple[int, int]:
    """How many orders, and how many with progress, the files have."""
    found = []
    for path, table in ((adapter.files.orders, "orders"), (adapter.files.progress, "progress")):
        with contextlib.closing(connect(path)) as connection:
            found.append(int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))
    return found[0], found[1]


def lines(adapter: SqliteAdapter) -> list[str]:
    """The ids in all files, as any program that reads gzip finds them."""
    files = sorted(adapter.files.archive.glob("*/*.jsonl.gz"))
    return [json.loads(line)["id"] for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


async def test_final_orders_move_to_a_file_and_are_shown_as_before(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    done = await do(orders, work)
    failed = await fail(orders, work)
    waiting = (await accept(orders, request("waiting"))).orders
    everything = [*ids(done), *ids(failed)]
    before = [await orders.get(order) for order in everything], await orders.attempts(ids(failed)[0])
    assert archive(adapter) == 4
    await tidy(orders)
    assert rows(adapter) == (1, 0)
    assert sorted(lines(adapter)) == sorted(everything)
    assert ([await orders.get(order) for order in everything], await orders.attempts(ids(failed)[0])) == before
    still = await orders.get(ids(waiting)[0])
    assert still is not None
    assert still.state is State.QUEUED


async def test_archived_twice_is_archived_once(adapter: SqliteAdapter, orders: OrderStore, work: WorkStore) -> None:
    await do(orders, work)
    assert archive(adapter) == 3
    assert archive(adapter) == 0
    await tidy(orders)
    assert archive(adapter) == 0
    await do(orders, work)
    assert archive(adapter) == 3
    assert len(lines(adapter)) == len(set(lines(adapter))) == 6


async def test_order_that_stays_open_is_archived_later(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    await do(orders, work)
    late = (await accept(orders, request("late"))).orders
    await do(orders, work)
    assert archive(adapter) == 6
    # It becomes final before the rows of its neighbours are deleted.
    await work.advance("w", tickets=[ticket(late)], now=1_000_000)
    await work.advance("w", done=[Done(late.first, 1, 1_000_005)], now=1_000_000)
    await tidy(orders)
    assert rows(adapter) == (1, 1)
    assert archive(adapter) == 1
    await tidy(orders)
    assert rows(adapter) == (0, 0)
    found = await orders.get(ids(late)[0])
    assert found is not None
    assert found.state is State.DONE


async def test_order_stays_as_long_as_a_retry_may_come(adapter: SqliteAdapter) -> None:
    orders = await adapter.orders(request_id_seconds=3600)
    await orders.recover()
    work = await adapter.work()
    now = time.time_ns() // 1000
    retried = request("Ana", request_id="key")
    for at in (now - 3_700_000_000, now):
        order_range = (await accept(orders, retried, at=at)).orders
        await work.advance("w", tickets=[ticket(order_range)], now=1_000_000)
        await work.advance("w", done=[Done(order_range.first, 1, at)], now=1_000_000)
    assert archive(adapter) == 1
    await tidy(orders)
    assert rows(adapter) == (1, 1)
    again = await accept(orders, retried, at=now + 1)
    assert (again.orders.count, [one.id for one in again.existing.values()]) == (0, ids(order_range))


async def test_only_orders_from_before_a_time_are_archived_and_months_apart(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    month = 31 * 86_400_000_000
    for at in (0, month, 2 * month):
        await do(orders, work, at=at + 1_000_000)
    assert archive(adapter, 2 * month) == 6
    names = sorted(str(path.relative_to(adapter.files.archive)) for path in adapter.files.archive.glob("*/*"))
    assert names == [
        "1970-01/orders-000000000001-000000000003.jsonl.gz",
        "1970-02/orders-000000000004-000000000006.jsonl.gz",
    ]


async def test_numbers_and_counts_go_on_when_every_order_is_gone(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    await do(orders, work)
    await fail(orders, work)
    archive(adapter)
    await tidy(orders)
    assert rows(adapter) == (0, 0)
    await adapter.close()
    again = await adapter.orders()
    recovery = await again.recover()
    assert recovery.repair is None
    assert (recovery.accepted, recovery.totals[State.DONE], recovery.totals[State.FAILED]) == (4, 3, 1)
    assert recovery.open == []
    assert (await accept(again, request())).orders.first == 5


@pytest.mark.parametrize("deleted", [False, True])
async def test_archived_order_cannot_be_changed(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore, deleted: bool
) -> None:
    failed = ids(await fail(orders, work))[0]
    await do(orders, work)
    archive(adapter)
    if deleted:
        await tidy(orders)
    with pytest.raises(Conflict, match="archived"):
        await orders.retry(failed)
    with pytest.raises(Conflict, match="archived"):
        await orders.cancel(failed)
    found = await orders.get(failed)
    assert found is not None
    assert found.state is State.FAILED


async def test_order_that_is_tried_again_meanwhile_is_not_archived(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = ids(await fail(orders, work))[0]
    encode = encode_archive
    with contextlib.closing(connect(adapter.files.progress)) as other:

        def interrupted(found: Iterable[ArchivedOrder]) -> tuple[bytes, list[ArchiveBlock]]:
            other.execute("UPDATE progress SET state = 0 WHERE sequence = 1")
            return encode(found)

        monkeypatch.setattr(archiver, "encode_archive", interrupted)
        assert archive(adapter) == 0
    assert list(adapter.files.archive.glob("*/*")) == []
    found = await orders.get(failed)
    assert found is not None
    assert found.state is State.QUEUED


async def test_run_that_was_killed_is_completed(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await do(orders, work)
    with monkeypatch.context() as patch:
        # Killed before the commit: nothing has happened.
        patch.setattr(archives, "_INSERT", "nonsense")
        with pytest.raises(StoreError):
            archive(adapter)
    assert len(list(adapter.files.archive.glob("*/*.part"))) == 1
    with monkeypatch.context() as patch:
        # Killed behind it: the file has the orders, and no name yet.
        patch.setattr(Archiver, "_give_name", lambda *_: None)
        assert archive(adapter) == 3
    with pytest.raises(StoreError, match="cannot be read"):
        await tidy(orders)
    assert rows(adapter) == (3, 3)
    assert archive(adapter) == 0
    assert not list(adapter.files.archive.glob("*/*.part"))
    await tidy(orders)
    assert rows(adapter) == (0, 0)
    assert len(lines(adapter)) == 3


async def test_damaged_file_keeps_its_orders_in_the_store(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    await do(orders, work)
    archive(adapter)
    (file,) = adapter.files.archive.glob("*/*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreError, match="damaged"):
        await tidy(orders)
    assert rows(adapter) == (3, 3)


async def test_one_archive_at_a_time(adapter: SqliteAdapter, orders: OrderStore) -> None:
    with contextlib.closing(Archiver(adapter.files)), pytest.raises(StartupError, match="already"):
        Archiver(adapter.files)


def follower(path: Path, position: str | None) -> None:
    with contextlib.closing(connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)")
        if position is not None:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('orders', ?)", (position,))


async def test_nothing_is_deleted_that_a_follower_has_not_read(tmp_path: Path, adapter: SqliteAdapter) -> None:
    now = time.time_ns() // 1000
    path = tmp_path / "distributed.db"
    orders = SqliteOrderStore(adapter.files, followers=[path])
    await orders.recover()
    work = await adapter.work()
    feed = SqliteOrderFeed(adapter.files)
    try:
        await do(orders, work, at=now)
        assert archive(adapter) == 3
        await tidy(orders)
        assert rows(adapter) == (3, 3)
        follower(path, None)
        await tidy(orders)
        assert rows(adapter) == (3, 3)
        events = await feed.read_events(None, limit=1000)
        assert events is not None
        assert events.totals is None
        follower(path, events.position)
        await tidy(orders)
        assert rows(adapter) == (0, 0)
        with contextlib.closing(connect(adapter.files.progress)) as progress:
            assert progress.execute("SELECT count(*), max(number) FROM moves").fetchone() == (1, 2)
        await do(orders, work, at=now)
        following = await feed.read_events(events.position, limit=1000)
        assert following is not None
        assert (following.restarted, following.totals) == (False, None)
        assert [one.transition.event for one in following.events] == [
            "order.accepted",
            "order.started",
            "order.finished",
        ]
    finally:
        feed.close()
        await orders.close()


async def test_follower_that_comes_too_late_begins_with_the_totals(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore
) -> None:
    # Orders of 1970: what happened to them is older than any bound.
    await do(orders, work)
    await fail(orders, work)
    archive(adapter)
    running = (await accept(orders, request(), request())).orders
    await work.advance("w", tickets=[ticket(running)], now=1_000_000)
    await accept(orders, request())
    await tidy(orders)
    with contextlib.closing(SqliteOrderFeed(adapter.files)) as feed:
        events = await feed.read_events(None, limit=1000)
        assert events is not None
        assert events.restarted
        assert events.totals == {
            None: 7,
            State.QUEUED: 1,
            State.RUNNING: 2,
            State.DONE: 3,
            State.FAILED: 1,
            State.CANCELLED: 0,
        }
        assert events.events == []
        done = [Done(sequence, 1, 1_000_009) for sequence in (running.first, running.first + 1)]
        await work.advance("w", done=done, now=1_000_000)
        following = await feed.read_events(events.position, limit=1000)
        assert following is not None
        assert [(one.transition.event, one.orders) for one in following.events] == [("order.finished", 2)]


async def test_workers_do_not_wait_for_a_follower_whose_file_is_locked(
    adapter: SqliteAdapter, orders: OrderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del orders
    free: list[bool] = []

    def look(_: Path) -> OrderPosition:
        with contextlib.closing(FileLock(adapter.files.progress_lock)) as lock:
            free.append(lock.try_acquire())
        return OrderPosition(0)

    monkeypatch.setattr(upkeep, "current_position", look)
    lock, progress = FileLock(adapter.files.progress_lock), Writer(adapter.files.progress)
    made = upkeep.Upkeep(progress, lock, tmp_path, [tmp_path / "distributed.db"], outbox_days=7)
    made.trim_outbox()
    assert free == [True]
    progress.close()
    lock.close()


async def test_large_orders_make_more_and_smaller_files(
    adapter: SqliteAdapter, orders: OrderStore, work: WorkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "_FILE_BYTES", 500)
    order_range = await do(orders, work, count=40)
    assert archive(adapter) == 40
    files = list(adapter.files.archive.glob("*/*.jsonl.gz"))
    assert 3 < len(files) < 40
    found = [
        json.loads(line)["id"] for file in sorted(files) for line in gzip.decompress(file.read_bytes()).splitlines()
    ]
    assert sorted(found) == ids(order_range)
    assert archive(adapter) == 0
