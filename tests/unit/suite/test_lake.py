"""The lake's service over the persistence server and the intake, in this process."""

import asyncio
import datetime
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.lake.requests import LakeRequest
from clients.persistence import PersistenceClient
from clients.shop.books import create_book
from services.lake import state_keeper
from services.lake import worker as worker_module
from services.lake.maintenance import remove_old_files
from services.lake.progress import LakeDay, LakeProgress
from services.lake.records_reader import PurchaseDay, iterate_purchases
from services.lake.state_keeper import StateKeeper
from services.lake.worker import LakeWorker
from shared.domain.errors import StoreError
from shared.domain.isbn import complete_isbn
from shared.domain.purchases import Purchase, PurchasedItem, purchase_item
from shared.domain.states import FINAL
from shared.domain.tables import PURCHASES, STOCK
from shared.lake.states import read_state, write_state
from shared.lake.storage import FolderStorage
from shared.lake.tables import BOOKS, FORGOTTEN, ORDER_ATTEMPTS, ORDERS, STOCK_MOVEMENTS, LakeTable
from shared.lake.tables import PURCHASES as PURCHASES_TABLE
from tests.support.in_process import Suite
from tests.support.memory_orders import MemoryOrderFeed

TODAY = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
EARLIER = "2026-11-20"


class Killed(Exception):
    """Ends a worker in the middle of its work."""


class Lake:
    """The files of a lake, and workers that are killed at a step of their writing."""

    def __init__(self, suite: Suite, records: PersistenceClient) -> None:
        self.folder = suite.folder / "lake"
        self.progress_file = suite.folder / "lake.db"
        self.steps = 0
        self.kill_at: int | None = None
        self.written: list[str] = []
        self._suite = suite
        self._records = records

    async def start(self, **options: Any) -> LakeWorker:
        """Returns a worker that begins with what is on disk."""
        lake = self

        class Storage(FolderStorage):
            async def write(self, path: str, data: bytes) -> None:
                lake.count_step()
                await super().write(path, data)
                lake.written.append(path)
                lake.count_step()

        class Progress(LakeProgress):
            def save(self, *args: Any, **positions: Any) -> None:
                lake.count_step()
                super().save(*args, **positions)
                lake.count_step()

        worker = LakeWorker(
            self._records,
            MemoryOrderFeed(self._suite.orders),
            Storage(self.folder),
            Progress(self.progress_file),
            state_seconds=1.0,
            retention={},
            **options,
        )
        await worker.prepare()
        return worker

    def count_step(self) -> None:
        """Kills the worker if it is its turn."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    async def catch_up(self) -> None:
        """Exports everything and makes all files."""
        worker = await self.start()
        while await worker.export():
            pass
        await worker.update_states()

    def read(self, table: LakeTable, tenant: str = "main") -> list[dict[str, Any]]:
        """Returns all rows of a table."""
        files = sorted((self.folder / tenant / table.name).rglob("*.parquet"))
        return [row for file in files for row in read_state(file.read_bytes(), table).to_pylist()]

    def read_files(self) -> dict[str, bytes]:
        """Returns the Parquet files."""
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*.parquet")}


@pytest.fixture
async def records(suite: Suite) -> AsyncIterator[PersistenceClient]:
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


@pytest.fixture
def lake(suite: Suite, records: PersistenceClient) -> Lake:
    return Lake(suite, records)


def make_purchase(number: int, day: str = TODAY, user: str = "ana", status: Any = "pending") -> Purchase:
    item = PurchasedItem("b1", "Ficciones", "Borges", "Cuento", 2, 1299, 2598, 100, "4")
    at = f"{day}T10:00:00.{number:06}Z"
    return Purchase(
        user=user,
        purchase=f"{number:032x}",
        status=status,
        total=2598,
        net=2498,
        tax=100,
        currency="EUR",
        exponent=2,
        payment_method="card",
        shipping_address={"street": "Mayor 1"},
        items=[item],
        created_at=at,
        updated_at=at,
    )


async def store(records: PersistenceClient, *purchases: Purchase) -> None:
    for one in purchases:
        await records.put_item(PURCHASES.name, purchase_item(one))


def shown(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return sorted((int(row["purchase_id"], 16), row["status"]) for row in rows)


async def test_everything_that_happened_is_in_tables(suite: Suite, lake: Lake, records: PersistenceClient) -> None:
    await suite.start_intake()
    async with suite.intake() as intake:
        accepted = await intake.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})
        assert (await intake.follow(accepted.id)).state in FINAL
    isbn = complete_isbn("978000000001")
    await create_book(records, {"isbn": isbn, "title": "Aleph", "author": "Borges", "category": "C", "price": 1250}, 3)
    await records.save_score(7, 120)
    await store(records, make_purchase(1))

    await lake.catch_up()

    (order,) = lake.read(ORDERS)
    assert (order["order_id"], order["state"], order["attempts"]) == (accepted.id, "listo", 1)
    (attempt,) = lake.read(ORDER_ATTEMPTS)
    assert attempt["outcome"] == "listo"
    assert [row["title"] for row in lake.read(BOOKS)] == ["Aleph"]
    assert [row["change"] for row in lake.read(STOCK_MOVEMENTS)] == [3]
    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending")]


async def test_a_worker_that_is_killed_at_any_step_loses_and_doubles_nothing(
    lake: Lake, records: PersistenceClient
) -> None:
    """Killed before and after each file and each position, while purchases come and change."""
    kills = 0
    purchases: dict[int, str] = {}
    for step in range(1, 36):
        await store(records, make_purchase(step), make_purchase(1000 + step, EARLIER))
        purchases[step] = "pending"
        if step > 1:
            await store(records, make_purchase(step - 1, status="completed"))
            purchases[step - 1] = "completed"
        lake.steps, lake.kill_at = 0, step % 12 + 1
        try:
            await lake.catch_up()
        except Killed:
            kills += 1
    lake.kill_at = None
    await lake.catch_up()

    assert kills > 25
    today = [row for row in lake.read(PURCHASES_TABLE) if row["created_at"].strftime("%Y-%m-%d") == TODAY]
    assert shown(today) == sorted(purchases.items())
    assert len(lake.read(PURCHASES_TABLE)) == 2 * len(purchases)
    before = lake.read_files()
    worker = await lake.start()
    await worker.serve_request(LakeRequest("1", "rebuild", "main"))
    assert lake.read_files() == before


async def test_a_later_change_of_an_old_purchase_writes_the_file_of_its_day_alone(
    lake: Lake, records: PersistenceClient
) -> None:
    await store(records, make_purchase(1), make_purchase(2, EARLIER))
    await lake.catch_up()
    lake.written.clear()

    await store(records, make_purchase(2, EARLIER, status="cancelled"))
    await lake.catch_up()

    assert all("/month=11/day=20/" in path for path in lake.written)
    assert [path.rpartition("/")[2] for path in lake.written][1:] == ["purchases.parquet", "purchase_lines.parquet"]


async def test_a_lake_that_was_deleted_is_filled_again(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1), make_purchase(2))
    await lake.catch_up()
    shutil.rmtree(lake.folder)

    await lake.catch_up()

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending"), (2, "pending")]


async def test_purchases_from_before_the_feed_are_read_from_the_records(
    suite: Suite, lake: Lake, records: PersistenceClient
) -> None:
    await store(records, make_purchase(1))
    suite.records.forgotten = len(suite.records.feed)
    await store(records, make_purchase(2))

    await lake.catch_up()

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending"), (2, "pending")]


async def test_a_damaged_file_is_made_again_from_events(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1))
    await lake.catch_up()
    (file,) = (lake.folder / "main" / "purchases").rglob("*.parquet")
    file.write_bytes(b"PAR1 no more")

    await store(records, make_purchase(2))
    await lake.catch_up()

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending"), (2, "pending")]


async def test_a_damaged_file_of_events_keeps_no_other_out(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1))
    worker = await lake.start()
    await worker.export()
    (file,) = (lake.folder / "main" / "purchase_events").rglob("*.json")
    file.with_name("records-0.json").write_bytes(b'{"purchase_id":')

    await worker.update_states()

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending")]


async def test_a_forgotten_person_is_in_no_file_and_does_not_come_back(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1, user="eva-7"), make_purchase(2))
    await lake.catch_up()

    worker = await lake.start()
    await worker.serve_request(LakeRequest("1", "forget", "main", "eva-7"))
    await store(records, make_purchase(1, user="eva-7", status="completed"))
    await lake.catch_up()
    await (await lake.start()).serve_request(LakeRequest("2", "rebuild", "main"))

    rows = lake.read(PURCHASES_TABLE)
    assert sorted((row["user_id"], row["status"]) for row in rows) == [("ana", "pending"), (FORGOTTEN, "completed")]
    files = [path for path in lake.folder.rglob("*") if path.is_file() and path.name != "_forgotten.json"]
    assert all(b"eva-7" not in path.read_bytes() for path in files)


async def test_a_full_disk_leaves_the_lake_behind_and_it_catches_up(
    lake: Lake, records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(records, make_purchase(1))
    worker = await lake.start()
    with monkeypatch.context() as patch:

        async def write(_: FolderStorage, path: str, data: bytes) -> None:
            raise StoreError("no space left on device")

        patch.setattr(FolderStorage, "write", write)
        with pytest.raises(StoreError):
            await worker.export()

    await worker.export()
    await worker.update_states()
    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending")]


async def test_records_that_are_no_purchases_are_left_out(lake: Lake, records: PersistenceClient) -> None:
    await records.put_item(PURCHASES.name, {"user": "x", "purchase": "y", "total": 10**30})
    await records.put_item(STOCK.name, {"store": "s", "item": "i", "count": "many"})
    await store(records, make_purchase(1))

    await lake.catch_up()

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending")]


async def test_many_files_of_events_are_joined_and_nothing_of_them_is_lost(
    lake: Lake, records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_keeper, "_SMALL_FILES", 3)
    worker = await lake.start()
    for number in range(1, 9):
        await store(records, make_purchase(number))
        await worker.export()
        await worker.update_states()

    files = sorted((lake.folder / "main" / "purchase_events").rglob("*.json"))
    assert len(files) == 4
    assert b"".join(file.read_bytes() for file in files).count(b"\n") == 8
    before = lake.read_files()
    await worker.serve_request(LakeRequest("1", "rebuild", "main"))
    assert lake.read_files() == before


async def test_a_day_that_cannot_be_made_keeps_no_other_out(
    lake: Lake, records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(records, make_purchase(1, EARLIER), make_purchase(2))
    worker = await lake.start()
    await worker.export()
    write = StateKeeper.write_day
    with monkeypatch.context() as patch:

        async def refuse_earlier(keeper: StateKeeper, day: LakeDay, rows: Any) -> None:
            if day.day == EARLIER:
                raise StoreError("no space left on device")
            await write(keeper, day, rows)

        patch.setattr(StateKeeper, "write_day", refuse_earlier)
        with pytest.raises(StoreError):
            await worker.update_states()
    assert shown(lake.read(PURCHASES_TABLE)) == [(2, "pending")]

    await worker.update_states()
    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending"), (2, "pending")]


async def test_a_change_during_a_rebuild_is_not_lost(
    lake: Lake, records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(records, make_purchase(1))
    worker = await lake.start()
    await worker.export()
    await worker.update_states()
    read = iterate_purchases
    updates: list[asyncio.Task[None]] = []

    async def read_early(*args: Any) -> AsyncIterator[PurchaseDay]:
        async for found in read(*args):
            # The purchase is completed now, and its day is to be written by another part as well.
            await store(records, make_purchase(1, status="completed"))
            await worker.export()
            updates.append(asyncio.create_task(worker.update_states()))
            await asyncio.sleep(1)
            yield found

    monkeypatch.setattr(worker_module, "iterate_purchases", read_early)
    await worker.serve_request(LakeRequest("1", "rebuild", "main"))
    await asyncio.gather(*updates)

    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "completed")]


async def test_old_files_are_removed_by_their_retention(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1, "2024-01-01"), make_purchase(2))
    await lake.catch_up()

    assert await remove_old_files(FolderStorage(lake.folder), {"purchase_events": 30.0, "purchases": 10_000.0}) == 1

    left = [path.relative_to(lake.folder).parts for path in (lake.folder / "main").rglob("*.json")]
    assert [path[1:3] for path in left if path[1] == "purchase_events"] == [("purchase_events", f"year={TODAY[:4]}")]
    assert shown(lake.read(PURCHASES_TABLE)) == [(1, "pending"), (2, "pending")]


async def test_an_older_file_is_rewritten_with_the_columns_of_today(lake: Lake, records: PersistenceClient) -> None:
    await store(records, make_purchase(1))
    await lake.catch_up()
    (file,) = (lake.folder / "main" / "purchases").rglob("*.parquet")
    today = file.read_bytes()
    rows = read_state(today, PURCHASES_TABLE).drop_columns(["reason"])
    file.write_bytes(write_state(rows, PURCHASES_TABLE))

    await (await lake.start()).serve_request(LakeRequest("1", "rewrite", "main"))

    assert file.read_bytes() == today
