"""What a move carries beside orders and items: a follower that goes on behind it counts each change once."""

import contextlib
import itertools
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.domain.tables import suite_tables
from shared.stores.orders import CANCELLED, DONE, FAILED, NOTHING, QUEUED, RUNNING, STATES
from shared.stores.ports.transfer import TransferredOrder, TransferredRow
from shared.stores.sqlite.carried_transfer import SqliteCarriedTransfer
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.order_positions import ORDERS
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.records import SqliteRecordStore
from shared.stores.sqlite.transfer import SqliteOrderTransfer
from tests.support.orders import accept, request

NODE = 7
TABLES = suite_tables("Data", "DataLog")
# What can become of an order, wherever it is worked off.
REACHABLE = {
    QUEUED: (QUEUED, RUNNING, DONE, FAILED, CANCELLED),
    RUNNING: (QUEUED, RUNNING, DONE, FAILED, CANCELLED),
    FAILED: (QUEUED, RUNNING, DONE, FAILED, CANCELLED),
    DONE: (DONE,),
    CANCELLED: (CANCELLED,),
}
WAYS = [(before, after) for before, reachable in REACHABLE.items() for after in reachable]


def in_state(order: TransferredOrder, state: int) -> TransferredOrder:
    attempt = int(state not in (QUEUED, CANCELLED))
    finished = 3_000_000 if state in (DONE, FAILED) else None
    attempt = max(attempt, order.row.attempt)
    row = replace(NOTHING, state=state, attempt=attempt, started=2_000_000 * attempt or None, finished=finished)
    return order._replace(row=row)


class Folder:
    """The files of one machine."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.files = StoreFiles(path / "orders.db")
        self.distributed = path / "distributed.db"
        self.records = SqliteRecordStore(path / "records.db", TABLES)

    async def take(self, orders: list[TransferredOrder], pages: list[list[TransferredRow]], last: int = 0) -> None:
        """Makes all of it, as a move does."""
        transfer = SqliteOrderTransfer(self.files)
        carried = SqliteCarriedTransfer(self.distributed, self.files, self.records)
        await transfer.write_orders(orders)
        for number, page in enumerate(pages):
            await carried.write_page(number, page)
        await transfer.finish_transfer(NODE, last or orders[-1].sequence)
        await carried.finish_transfer(NODE, 0)
        carried.close()
        transfer.close()

    async def give(self) -> tuple[list[TransferredOrder], list[list[TransferredRow]]]:
        """What a move finds."""
        transfer = SqliteOrderTransfer(self.files)
        carried = SqliteCarriedTransfer(self.distributed, self.files, self.records)
        found = await transfer.read_orders(0, 1000), [page async for page in carried.read_pages()]
        carried.close()
        transfer.close()
        return found

    async def follow(self, counted: Counter[int], entries: int | None = None) -> None:
        """Counts what the follower has not counted; only so many entries of the outbox, where that is said."""
        feed = SqliteOrderFeed(self.files)
        with contextlib.closing(sqlite3.connect(self.distributed)) as file:
            row = file.execute("SELECT value FROM meta WHERE name = ?", (ORDERS,)).fetchone()
            position = None if row is None else row[0]
            # With so little asked for, one entry is read at a time.
            for step in itertools.count():
                events = await feed.read_events(position, limit=1000 if entries is None else 1)
                assert events is not None
                if events.restarted:
                    counted.clear()
                for one in events.events:
                    counted[STATES.index(one.transition.target)] += one.orders
                    if one.transition.source is not None:
                        counted[STATES.index(one.transition.source)] -= one.orders
                at_end, position = events.position == position, events.position
                if at_end or step == entries:
                    break
            file.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (ORDERS, position))
            file.commit()
        feed.close()


@pytest.mark.parametrize("read", [None, 0, 3, 30], ids=lambda read: f"read={read}")
async def test_every_way_of_an_order_is_counted_once(tmp_path: Path, read: int | None) -> None:
    orders = [
        TransferredOrder(number, 1_000_000, request_document(number), NOTHING) for number in range(1, len(WAYS) + 1)
    ]
    here, back = Folder(tmp_path / "here"), Folder(tmp_path / "back")
    await here.take([in_state(order, before) for order, (before, _) in zip(orders, WAYS, strict=True)], [])
    counted: Counter[int] = Counter()
    await here.follow(counted, read)
    given, pages = await here.give()
    assert len(given) == len(WAYS)
    # And one that came in between, at the store that has no use for all this.
    later = TransferredOrder(len(WAYS) + 100, 1_000_000, request_document(0), NOTHING)
    after = [in_state(order, state) for order, (_, state) in zip(given, WAYS, strict=True)]
    await back.take([*after, in_state(later, DONE)], pages)
    await back.follow(counted)
    assert +counted == Counter([DONE, *(state for _, state in WAYS)])
    store = SqliteOrderStore(back.files, followers=[back.distributed])
    recovery = await store.recover()
    assert (recovery.repair, recovery.accepted) == (None, len(WAYS) + 1)
    assert (await accept(store, request())).orders.first == len(WAYS) + 101
    await store.close()
    for folder in (here, back):
        await folder.records.close()


async def test_number_of_an_order_that_is_lost_is_not_given_by_the_other_store(tmp_path: Path) -> None:
    here, back = Folder(tmp_path / "here"), Folder(tmp_path / "back")
    orders = [TransferredOrder(1, 1_000_000, request_document(1), NOTHING)]
    # As after a repair: 49 orders are missing, and none has come since.
    await here.take(orders, [], last=50)
    transfer = SqliteOrderTransfer(here.files)
    last = await transfer.last_given()
    transfer.close()
    await back.take(orders, [], last=last)
    store = SqliteOrderStore(back.files)
    assert (await store.recover()).accepted == 1
    assert (await accept(store, request())).orders.first == 51
    await store.close()
    for folder in (here, back):
        await folder.records.close()


async def test_follower_of_other_orders_counts_from_the_beginning(tmp_path: Path) -> None:
    here, back = Folder(tmp_path / "here"), Folder(tmp_path / "back")
    order = TransferredOrder(1, 1_000_000, request_document(1), NOTHING)
    await here.take([in_state(order, DONE)], [])
    counted: Counter[int] = Counter()
    await here.follow(counted)
    with contextlib.closing(sqlite3.connect(here.distributed)) as file:
        file.execute("UPDATE meta SET value = '1:1:1:0' WHERE name = ?", (ORDERS,))
        file.commit()
    given, pages = await here.give()
    await back.take(given, pages)
    await back.follow(counted)
    assert +counted == {DONE: 1}
    store = SqliteOrderStore(back.files, followers=[back.distributed])
    assert (await store.recover()).repair is None
    await store.close()
    for folder in (here, back):
        await folder.records.close()


def request_document(number: int) -> str:
    return f'{{"cliente":"c{number}","productos":["pan"],"direccion":"x"}}'
