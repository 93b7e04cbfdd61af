"""Files of an intake that are not of one moment: no number is given twice, and what has no order is set aside."""

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import Gone
from shared.domain.records import Condition, Put, Transaction
from shared.domain.states import State
from shared.domain.tables import SCORES, suite_tables
from shared.stores.ports.orders import Done, OrderListQuery, Recovery
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.records import SqliteRecordStore
from shared.stores.sqlite.work_store import SqliteWorkStore
from tests.support.orders import accept, request, ticket

Copy = dict[str, Path]


class Shop:
    """One folder of files: an intake that works orders off, and a follower that counts them, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = StoreFiles(folder / "orders.db")
        self.follower = folder / "distributed.db"
        self.counted: Counter[State] = Counter()
        folder.mkdir()

    async def start(self) -> Recovery:
        """What an intake finds."""
        async with self._intake() as (_, recovery):
            return recovery

    async def work(self, orders: int) -> list[int]:
        """Accepts orders and works them off: their sequences."""
        async with self._intake() as (store, _):
            order_range = (await accept(store, *(request(f"c{number}") for number in range(orders)))).orders
            worker = SqliteWorkStore(self.files)
            advance = await worker.advance("w", tickets=[ticket(order_range)], now=2_000_000)
            assert not advance.refused
            sequences = list(order_range.sequences)
            done = [Done(sequence, 1, 3_000_000) for sequence in sequences]
            assert not (await worker.advance("w", done=done, now=3_000_000)).lost
            await worker.close()
        return sequences

    async def follow(self) -> None:
        """Reads on as the relay does, from the position in the file."""
        with contextlib.closing(sqlite3.connect(self.follower)) as file:
            file.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            row = file.execute("SELECT value FROM meta WHERE name = 'orders'").fetchone()
            feed = SqliteOrderFeed(self.files)
            position = None if row is None else row[0]
            while True:
                events = await feed.read_events(position, limit=1000)
                assert events is not None
                if events.restarted:
                    self.counted.clear()
                self.counted.update({state: count for state, count in (events.totals or {}).items() if state})
                for one in events.events:
                    assert one.orders
                    self.counted[one.transition.target] += one.orders
                    if one.transition.source is not None:
                        self.counted[one.transition.source] -= one.orders
                if events.position == position:
                    break
                position = events.position
            feed.close()
            file.execute("INSERT OR REPLACE INTO meta VALUES ('orders', ?)", (position,))
            file.commit()

    @contextlib.asynccontextmanager
    async def _intake(self) -> AsyncIterator[tuple[SqliteOrderStore, Recovery]]:
        store = SqliteOrderStore(self.files, followers=[self.follower])
        try:
            yield store, await store.recover()
        finally:
            await store.close()

    async def archive(self) -> None:
        """Archives all final orders, and deletes their rows."""
        with contextlib.closing(Archiver(self.files)) as archiver:
            archiver.archive_before(2**60, lambda _: None)
        async with self._intake() as (store, _):
            while await store.tidy():
                pass
        assert not self.rows("SELECT * FROM progress")

    def backup(self, *names: str) -> Copy:
        """Copies of some of the files as they are now."""
        copies = {}
        for name in names:
            copies[name] = self.folder / f"{name}.{len(list(self.folder.iterdir()))}.copy"
            with (
                contextlib.closing(sqlite3.connect(self.folder / name)) as source,
                contextlib.closing(sqlite3.connect(copies[name])) as target,
            ):
                source.backup(target)
        return copies

    def restore(self, copies: Copy) -> None:
        """Puts copies in place of the files."""
        for name, copy in copies.items():
            self.remove(name)
            shutil.copy(copy, self.folder / name)

    def remove(self, name: str) -> None:
        """Removes a file with its log."""
        for path in self.folder.glob(f"{name}*"):
            if path.suffix != ".copy":
                path.unlink()

    def rows(self, statement: str) -> list[Any]:
        """What is in the file of progress."""
        with contextlib.closing(sqlite3.connect(self.files.progress)) as file:
            return file.execute(statement).fetchall()

    def open(self, recovery: Recovery) -> list[int]:
        """The sequences of the orders that are open."""
        ranges = [entry.orders for entry in recovery.open]
        return [sequence for order_range in ranges for sequence in order_range.sequences]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty folder."""
    return Shop(tmp_path / "shop")


async def test_files_that_agree_are_left_alone(shop: Shop) -> None:
    assert (await shop.start()).repair is None
    assert await shop.work(3) == [1, 2, 3]
    await shop.follow()
    recovery = await shop.start()
    assert (recovery.repair, recovery.repairs, recovery.accepted) == (None, [], 3)


async def test_progress_ahead_of_orders(shop: Shop) -> None:
    await shop.work(20)
    old = shop.backup("orders.db")
    await shop.work(30)
    await shop.follow()
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_ahead"]
    assert (recovery.repair.orders_last, recovery.repair.progress_last) == (20, 50)
    assert (recovery.repair.next, recovery.repair.missing, recovery.repair.set_aside) == (51, 30, 30)
    assert (recovery.accepted, recovery.totals[State.DONE], recovery.open) == (20, 20, [])
    table, entries = recovery.repair.set_aside_in
    assert shop.rows(f"SELECT min(sequence), max(sequence), count(*) FROM {table}") == [(21, 50, 30)]
    assert shop.rows(f"SELECT count(*) FROM {entries}") == [(2,)]
    assert await shop.work(40) == list(range(51, 91))
    await shop.follow()
    assert shop.counted == {State.QUEUED: 0, State.RUNNING: 0, State.DONE: 60}
    again = await shop.start()
    assert (again.repair, again.repairs) == (None, [recovery.repair])
    assert (again.accepted, again.totals[State.DONE]) == (60, 60)


async def test_number_is_not_given_twice_when_nothing_was_accepted_after_the_repair(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db")
    await shop.work(3)
    shop.restore(old)
    await shop.start()
    assert (await shop.start()).repair is None
    assert await shop.work(1) == [6]


async def test_start_that_is_killed_between_the_two_files_repairs_again(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db")
    await shop.work(3)
    shop.restore(old)
    await shop.start()
    # As if the transaction of this file had not come to be.
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.set_aside == 0
    assert (recovery.repair.next, recovery.accepted) == (6, 2)
    assert await shop.work(1) == [6]


async def test_orders_deleted(shop: Shop) -> None:
    await shop.work(5)
    await shop.follow()
    shop.remove("orders.db")
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_of_other_orders"]
    assert (recovery.repair.next, recovery.repair.missing, recovery.repair.set_aside) == (6, 5, 5)
    assert (recovery.accepted, dict(recovery.totals)[State.DONE], recovery.open) == (0, 0, [])
    assert await shop.work(2) == [6, 7]
    await shop.follow()
    assert shop.counted[State.DONE] == 2
    table, *_ = recovery.repair.set_aside_in
    assert shop.rows(f"SELECT count(*) FROM {table}") == [(5,)]


async def test_orders_deleted_under_files_of_an_earlier_version(shop: Shop) -> None:
    await shop.work(5)
    with contextlib.closing(sqlite3.connect(shop.files.progress)) as file:
        file.execute("DELETE FROM meta WHERE name IN ('node', 'era')")
        file.commit()
    shop.remove("orders.db")
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.set_aside == 5
    assert await shop.work(2) == [6, 7]


async def test_orders_and_progress_deleted(shop: Shop) -> None:
    await shop.work(5)
    await shop.follow()
    for name in ("orders-progress.db", "orders.db"):
        shop.remove(name)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["follower_ahead"]
    assert await shop.work(2) == [6, 7]
    await shop.follow()
    assert shop.counted[State.DONE] == 2


async def test_progress_deleted_means_that_orders_are_worked_off_again(shop: Shop) -> None:
    await shop.work(5)
    await shop.follow()
    shop.remove("orders-progress.db")
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_missing", "progress_behind_follower"]
    assert (recovery.repair.open, recovery.repair.missing, recovery.repair.next) == (5, 0, 6)
    assert shop.open(recovery) == [1, 2, 3, 4, 5]
    assert recovery.accepted == 5
    await shop.follow()
    assert +shop.counted == {State.QUEUED: 5}


async def test_progress_of_an_earlier_time(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders-progress.db")
    await shop.work(3)
    await shop.follow()
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_behind_follower"]
    assert shop.open(recovery) == [3, 4, 5]
    # More happens than the follower had read: it does not take that for what it has read.
    for _ in range(3):
        await shop.work(2)
    await shop.follow()
    assert +shop.counted == {State.QUEUED: 3, State.DONE: 8}


async def test_all_but_the_follower_of_an_earlier_time(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db", "orders-progress.db")
    await shop.work(3)
    await shop.follow()
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["follower_ahead", "progress_behind_follower"]
    assert (recovery.repair.next, recovery.repair.missing, recovery.accepted) == (6, 3, 2)
    assert await shop.work(4) == [6, 7, 8, 9]
    await shop.follow()
    assert +shop.counted == {State.DONE: 6}


async def test_follower_of_an_earlier_time_reads_on(shop: Shop) -> None:
    await shop.work(2)
    await shop.follow()
    old = shop.backup("distributed.db")
    await shop.work(3)
    counted = Counter(shop.counted)
    await shop.follow()
    shop.restore(old)
    shop.counted = counted
    assert (await shop.start()).repair is None
    await shop.follow()
    assert +shop.counted == {State.DONE: 5}


async def test_follower_that_began_again_before_the_intake_started_keeps_what_it_knew(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db", "orders-progress.db")
    await shop.work(3)
    await shop.follow()
    with contextlib.closing(sqlite3.connect(shop.follower)) as file:
        file.execute("INSERT INTO meta SELECT 'orders_before', value FROM meta")
        file.commit()
    shop.restore(old)
    await shop.follow()
    assert await shop.work(1) == [6]


async def test_orders_that_come_back_after_a_repair_are_worked_off(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db")
    await shop.work(3)
    right = shop.backup("orders.db")
    shop.restore(old)
    await shop.start()
    await shop.work(4)
    # The right file was found after all: what was accepted in between is not in it.
    shop.restore(right)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert (recovery.repair.set_aside, recovery.repair.next) == (4, 10)
    assert shop.open(recovery) == [3, 4, 5]
    await shop.follow()
    assert +shop.counted == {State.QUEUED: 3, State.DONE: 2}


async def test_progress_of_before_a_repair(shop: Shop) -> None:
    await shop.work(2)
    old = shop.backup("orders.db")
    await shop.work(3)
    ahead = shop.backup("orders-progress.db")
    shop.restore(old)
    await shop.work(4)
    await shop.follow()
    shop.restore(ahead)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert (recovery.repair.set_aside, recovery.accepted, recovery.totals[State.DONE]) == (3, 6, 2)
    assert shop.open(recovery) == [6, 7, 8, 9]
    await shop.follow()
    assert +shop.counted == {State.QUEUED: 4, State.DONE: 2}


async def test_numbers_of_changes_go_on_behind_what_was_followed(tmp_path: Path) -> None:
    path, tables = tmp_path / "records.db", suite_tables("Data", "DataLog")

    async def save(store: SqliteRecordStore, *users: int) -> None:
        for user in users:
            put = Put(SCORES.name, {"user_id": user, "puntaje_maximo": 1}, Condition())
            await store.write([Transaction("main", [put])])

    store = SqliteRecordStore(path, tables)
    await save(store, 1, 2)
    await store.close()
    old = path.read_bytes()
    store = SqliteRecordStore(path, tables)
    await save(store, 3, 4, 5)
    followed = await store.newest_position()
    await store.close()
    path.write_bytes(old)
    store = SqliteRecordStore(path, tables, followed=int(followed))
    assert store.gap == (2, 7)
    # As many as were lost, and more, before anybody looks.
    await save(store, 6, 7, 8, 9)
    for read in ("3", followed):
        with pytest.raises(Gone):
            await store.read_changes(read)
    assert [change.new.item["user_id"] for change in (await store.read_changes("1")).changes if change.new] == [
        2,
        6,
        7,
        8,
        9,
    ]
    newest = await store.newest_position()
    await store.close()
    store = SqliteRecordStore(path, tables, followed=int(newest))
    assert store.gap is None
    await store.close()


async def test_orders_of_before_an_archive_are_not_worked_off_again(shop: Shop) -> None:
    await shop.work(10)
    old = shop.backup("orders.db")
    await shop.follow()
    await shop.archive()
    await shop.work(5)
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_ahead", "orders_before_archive"]
    assert (recovery.repair.missing, recovery.repair.set_aside, recovery.repair.next) == (5, 5, 16)
    assert (shop.open(recovery), recovery.accepted, recovery.totals[State.DONE]) == ([], 10, 10)
    with contextlib.closing(sqlite3.connect(shop.files.orders)) as file:
        assert file.execute(f"SELECT count(*) FROM {recovery.repair.set_aside_in[-1]}").fetchone() == (10,)
    assert (await shop.start()).repair is None
    await shop.follow()
    assert +shop.counted == {State.DONE: 10}


async def test_number_of_an_archived_order_is_not_given_twice(shop: Shop) -> None:
    await shop.work(5)
    old = shop.backup("orders.db")
    await shop.work(5)
    await shop.follow()
    await shop.archive()
    shop.restore(old)
    shop.remove("distributed.db")
    recovery = await shop.start()
    assert recovery.repair is not None
    assert (recovery.repair.missing, recovery.accepted, shop.open(recovery)) == (0, 10, [])
    assert await shop.work(1) == [11]


async def test_progress_of_before_an_archive_knows_the_archived_orders_again(shop: Shop) -> None:
    await shop.work(10)
    old = shop.backup("orders-progress.db")
    await shop.follow()
    await shop.archive()
    await shop.work(2)
    await shop.follow()
    shop.restore(old)
    recovery = await shop.start()
    assert recovery.repair is not None
    assert recovery.repair.reasons == ["progress_behind_follower", "progress_before_archive"]
    assert (recovery.repair.missing, recovery.accepted, recovery.totals[State.DONE]) == (0, 12, 10)
    assert shop.open(recovery) == [11, 12]
    async with shop._intake() as (store, again):
        assert again.repair is None
        newest = (await store.list(OrderListQuery())).orders[0].id
        archived = await store.get(f"{newest[:-12]}{5:012x}")
        assert archived is not None
        assert archived.state is State.DONE
    assert shop.rows("SELECT * FROM progress") == []
    await shop.follow()
    assert +shop.counted == {State.DONE: 10, State.QUEUED: 2}


async def test_file_of_an_archive_whose_orders_are_still_there_is_left_alone(shop: Shop) -> None:
    await shop.work(10)
    old = shop.backup("orders.db", "orders-progress.db")
    await shop.archive()
    shop.restore(old)
    recovery = await shop.start()
    assert (recovery.repair, recovery.accepted, recovery.totals[State.DONE]) == (None, 10, 10)
