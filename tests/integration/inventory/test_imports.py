"""Imports under faults: whoever is killed when, what was accepted is in force as a whole and once."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from clients.inventory import imports, stock
from clients.inventory.imports import Import
from clients.inventory.upload import Report, Upload
from clients.persistence import PersistenceClient
from services.inventory.import_applier import ImportApplier
from services.inventory.import_retention import ImportRetention
from services.inventory.stock_checker import StockChecker
from services.inventory.stock_follower import StockFollower
from shared.domain.errors import Conflict, InvalidParams, NotFound, TooLarge
from shared.domain.stock import ImportState, StockThresholds, ledger_of
from shared.domain.tables import IMPORT_ROWS, IMPORTS, MOVEMENTS, STOCK
from tests.support.eventually import eventually, running
from tests.support.intake import PATIENCE, InventoryProcess, PersistenceProcess

LEVELS = StockThresholds(5, 2)
ROWS = 9000


@pytest.fixture
async def client(persistence: PersistenceProcess) -> AsyncIterator[PersistenceClient]:
    """A client of `persistence` that waits for it when it is down."""
    async with PersistenceClient("127.0.0.1", persistence.port, timeout=PATIENCE) as found:
        yield found


@pytest.fixture
def inventory(persistence: PersistenceProcess) -> Iterator[InventoryProcess]:
    """The inventory service; its other servers are away."""
    with InventoryProcess(persistence.data_dir, [persistence]) as process:
        yield process


def sheet(rows: int, *, count: int = 7, stores: int = 3) -> bytes:
    lines = [f"Store {number % stores},Item {number // stores},{count + number % 11}" for number in range(rows)]
    return "\n".join(["store,item,count", *lines]).encode()


async def sent(client: PersistenceClient, data: bytes, *, again: bool = False) -> Import:
    """The import that a file becomes."""
    upload = Upload(client, name="x.csv", source="http", max_bytes=10**9)
    await upload.feed(data)
    found = await upload.finish(again=again)
    assert isinstance(found, Import)
    return found


async def in_the_middle(client: PersistenceClient, name: str) -> Import:
    """An import of which some is in force and some is not."""

    async def look() -> Import | None:
        found = await imports.get_import(client, name)
        return found if found.applied > 0 else None

    found: Import = await eventually(look)
    assert found.state is ImportState.ACCEPTED, "it was over too soon; send more rows"
    return found


async def counts(client: PersistenceClient) -> dict[tuple[str, str], int]:
    return {(store, item): count async for store, item, count in stock.iterate_stock(client)}


async def movements(client: PersistenceClient, store: str, item: str) -> list[int]:
    page = await client.query(MOVEMENTS.name, partition=ledger_of(store, item))
    return [stored.item["change"] for stored in page.items if stored.item is not None]


async def test_persistence_killed_during_an_import(
    client: PersistenceClient, persistence: PersistenceProcess, inventory: InventoryProcess
) -> None:
    found = await sent(client, sheet(ROWS))
    await in_the_middle(client, found.id)
    persistence.kill()
    await asyncio.to_thread(persistence.start)
    done = await imports.wait_for_import(client, found.id, seconds=PATIENCE)
    assert (done.state, done.applied, done.new, done.changed) == (ImportState.APPLIED, ROWS, ROWS, 0)
    await _assert_once(client, 7)


async def test_the_service_killed_again_and_again_during_an_import(
    client: PersistenceClient, inventory: InventoryProcess
) -> None:
    found = await sent(client, sheet(ROWS))
    for _ in range(3):
        before = (await imports.get_import(client, found.id)).applied

        async def has_moved(before: int = before) -> bool:
            now = await imports.get_import(client, found.id)
            return now.applied > before or now.state is ImportState.APPLIED

        await eventually(has_moved)
        inventory.kill()
        await asyncio.to_thread(inventory.start)
    done = await imports.wait_for_import(client, found.id, seconds=PATIENCE)
    assert (done.state, done.applied, done.new) == (ImportState.APPLIED, ROWS, ROWS)
    await _assert_once(client, 7)


async def _assert_once(client: PersistenceClient, count: int) -> None:
    """Every row is in force, by just one movement."""
    expected = {(f"Store {number % 3}", f"Item {number // 3}"): count + number % 11 for number in range(ROWS)}
    assert await counts(client) == expected
    for (store, item), had in list(expected.items())[:: ROWS // 50]:

        async def told(store: str = store, item: str = item) -> list[int]:
            return await movements(client, store, item)

        assert await eventually(told) == [had]


async def test_several_services_apply_an_import_once(
    client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    others = [PersistenceClient("127.0.0.1", persistence.port) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for one in others:
            await stack.enter_async_context(running(ImportApplier(one).run()))
        found = await sent(client, sheet(1000))
        done = await imports.wait_for_import(client, found.id, seconds=PATIENCE)
        assert (done.applied, done.new, done.changed) == (1000, 1000, 0)
        undone = await imports.undo_import(client, found.id)
        undone = await imports.wait_for_import(client, undone.id, seconds=PATIENCE)
        assert (undone.state, undone.applied, undone.short) == (ImportState.UNDONE, 0, 0)
    assert await counts(client) == {}
    for one in others:
        one.close()


async def test_undo_takes_back_what_the_import_has_changed_and_no_more(client: PersistenceClient) -> None:
    records = client
    async with running(ImportApplier(client).run()):
        first = await sent(client, b"store,item,count\nA,x,10\nA,y,10\nA,z,10\n")
        await imports.wait_for_import(records, first.id, seconds=PATIENCE)
        second = await sent(client, b"store,item,count\nA,x,15\nA,y,4\nA,new,6\nA,z,10\n")
        done = await imports.wait_for_import(records, second.id, seconds=PATIENCE)
        assert (done.new, done.changed, done.same) == (1, 2, 1)
        with pytest.raises(Conflict):
            await sent(client, b"store,item,count\nA,x,15\nA,y,4\nA,new,6\nA,z,10\n")
        await stock.set_count(records, "A", "x", 3, version=None)
        await stock.set_count(records, "A", "new", 5, version=None)
        await imports.undo_import(records, second.id)
        undone = await imports.wait_for_import(records, second.id, seconds=PATIENCE)
        # Twelve of x and one of the new item are gone meanwhile: three are left of x, from which five were to be taken.
        assert await counts(client) == {("A", "x"): 0, ("A", "y"): 10, ("A", "z"): 10, ("A", "new"): 0}
        assert undone.short == 2
        # The same file may come in again.
        assert (await sent(client, b"store,item,count\nA,x,15\nA,y,4\nA,new,6\nA,z,10\n")).rows == 4


async def test_what_is_not_committed_never_counts(client: PersistenceClient) -> None:
    records = client
    left = Upload(records, name="left.csv", source="http", max_bytes=10**9)
    await left.feed(sheet(5000))
    assert (await client.get_item(IMPORTS.name, {"id": left.id})).item is not None
    bad = Upload(records, name="bad.csv", source="http", max_bytes=10**9)
    await bad.feed(sheet(5000) + b"\nStore 1,Item x,-1\n")
    with pytest.raises(InvalidParams) as refused:
        await bad.finish()
    assert isinstance(refused.value.details["report"], Report)
    large = Upload(records, name="large.csv", source="http", max_bytes=100_000)
    with pytest.raises(TooLarge):
        await large.feed(sheet(9000))
    async with running(ImportApplier(client).run()):
        done = await sent(client, b"store,item,count\nA,x,1\n")
        await imports.wait_for_import(records, done.id, seconds=PATIENCE)
    assert await counts(client) == {("A", "x"): 1}
    for gone in (bad, large):
        assert (await client.get_item(IMPORTS.name, {"id": gone.id})).item is None
        assert (await client.query(IMPORT_ROWS.name, partition=gone.id)).items == []
    await left.drop()
    assert (await client.query(IMPORT_ROWS.name, partition=left.id)).items == []


async def test_the_check_finds_and_mends_what_does_not_add_up(
    client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    mine = PersistenceClient("127.0.0.1", persistence.port)
    checker = StockChecker(client, LEVELS, read_again_seconds=0.02)
    follower = StockFollower(
        mine, LEVELS, on_import=lambda _: None, on_alert=lambda _: None, on_loss=lambda: None, publish_alerts=False
    )
    for item, count in (("x", 10), ("y", 3), ("z", 8)):
        await stock.set_count(client, "A", item, count, version=None)
    async with running(follower.run()):
        await eventually(lambda: _told(client, "z"))
        assert await checker.check_stock() == []
        page = await client.query(MOVEMENTS.name, partition=ledger_of("A", "x"))
        assert page.items[0].item is not None
        entry = {"ledger": ledger_of("A", "x"), "entry": page.items[0].item["entry"]}
        await client.delete_item(MOVEMENTS.name, entry)
        (finding,) = await checker.check_stock()
        assert (finding.item, finding.has, finding.movements) == ("x", 10, 0)
        assert await checker.check_stock() == []
    found, _ = await stock.list_movements(client, "A", "x", limit=10, cursor=None)
    assert [(one.cause, one.change) for one in found] == [("correction", 10)]
    ((sums,), _) = await stock.list_stores(client, limit=10, cursor=None)
    assert (sums.items, sums.units, sums.low) == (3, 21, 1)
    mine.close()


async def _told(client: PersistenceClient, item: str) -> list[int]:
    return await movements(client, "A", item)


async def test_a_service_that_was_away_reads_on(client: PersistenceClient, persistence: PersistenceProcess) -> None:
    with InventoryProcess(persistence.data_dir, [persistence]) as inventory:
        await stock.set_count(client, "A", "x", 10, version=None)
        await eventually(lambda: _told(client, "x"))
        inventory.send_signal(signal.SIGTERM)
        assert inventory.wait() == 0
        await stock.set_count(client, "A", "x", 2, version=None)
        await client.delete_item(STOCK.name, {"store": "A", "item": "x"})
        await asyncio.to_thread(inventory.start)

        async def all_told() -> bool:
            return len(await movements(client, "A", "x")) == 3

        await eventually(all_told)
    assert await movements(client, "A", "x") == [10, -8, -2]
    alert = await client.query("StockAlerts", partition="A")
    assert [stored.item["state"] for stored in alert.items if stored.item is not None] == ["closed"]


async def test_an_import_that_is_not_as_it_should_be_holds_up_no_other(client: PersistenceClient) -> None:
    broken = {
        "id": "0",
        "name": "x",
        "source": "http",
        "state": "accepted",
        "received": "2026",
        "rows": 1,
        "portions": 1,
    }
    await client.put_item(IMPORTS.name, broken)
    await client.put_item(IMPORT_ROWS.name, {"import": "0", "number": 0, "rows": "nothing that can be read"})
    async with running(ImportApplier(client).run()):
        found = await sent(client, b"store,item,count\nA,x,1\n")
        await imports.wait_for_import(client, found.id, seconds=PATIENCE)
    assert await counts(client) == {("A", "x"): 1}
    await client.put_item(IMPORTS.name, {**broken, "id": "1", "rows": "many", "state": "applied"})
    page = await imports.list_imports(client, limit=10, cursor=None)
    assert [one.id for one in page.imports] == [found.id]


async def test_another_threshold_counts_anew_what_is_low(
    client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    async def low() -> int:
        stores, _ = await stock.list_stores(client, limit=10, cursor=None)
        return stores[0].low if stores else -1

    with InventoryProcess(persistence.data_dir, [persistence], {"LOW_STOCK": 3}):
        for item, count in (("x", 2), ("y", 4), ("z", 8)):
            await stock.set_count(client, "A", item, count, version=None)
        await eventually(lambda: _told(client, "z"))

        async def is_one() -> bool:
            return await low() == 1

        await eventually(is_one)
    with InventoryProcess(persistence.data_dir, [persistence], {"LOW_STOCK": 5}) as inventory:
        inventory.wait_for_log("store_sums_corrected")
        assert await low() == 2


async def test_names_that_are_too_long_stop_nothing(client: PersistenceClient, persistence: PersistenceProcess) -> None:
    mine = PersistenceClient("127.0.0.1", persistence.port)
    follower = StockFollower(
        mine, LEVELS, on_import=lambda _: None, on_alert=lambda _: None, on_loss=lambda: None, publish_alerts=False
    )
    await client.put_item(STOCK.name, {"store": "s" * 1000, "item": "i" * 500, "count": 3})
    async with running(follower.run()):
        await stock.set_count(client, "A", "x", 9, version=None)
        assert await eventually(lambda: _told(client, "x")) == [9]
        assert await StockChecker(client, LEVELS).check_stock() == []
    assert await counts(client) == {("A", "x"): 9}
    mine.close()


@pytest.mark.parametrize("count", ["12", None, True, 1.5])
async def test_a_record_without_a_count_stops_nothing(
    client: PersistenceClient, persistence: PersistenceProcess, count: object
) -> None:
    odd = {"store": "A", "item": "odd", **({} if count is None else {"count": count})}
    await client.put_item(STOCK.name, odd)
    mine = PersistenceClient("127.0.0.1", persistence.port)
    follower = StockFollower(
        mine, LEVELS, on_import=lambda _: None, on_alert=lambda _: None, on_loss=lambda: None, publish_alerts=False
    )
    async with running(ImportApplier(client).run()), running(follower.run()):
        assert await StockChecker(client, LEVELS).check_stock() == []
        assert await counts(client) == {}
        found = await sent(client, b"store,item,count\nA,odd,3\nA,x,8\n")
        done = await imports.wait_for_import(client, found.id, seconds=PATIENCE)
        assert (done.state, done.new) == (ImportState.APPLIED, 2)
        assert await eventually(lambda: _told(client, "odd")) == [3]
        await client.put_item(STOCK.name, odd)
        await imports.undo_import(client, found.id)
        undone = await imports.wait_for_import(client, found.id, seconds=PATIENCE)
        assert undone.state is ImportState.UNDONE

        async def all_told() -> bool:
            return await movements(client, "A", "odd") == [3, -3] and await movements(client, "A", "x") == [8, -8]

        await eventually(all_told)
        stores, _ = await stock.list_stores(client, limit=10, cursor=None)
        assert not stores
    mine.close()


async def test_imports_are_deleted_when_they_are_old_enough_and_at_their_end(
    client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    waiting = await sent(client, sheet(3, count=9))
    mine = PersistenceClient("127.0.0.1", persistence.port)
    applier = ImportApplier(mine)
    old = await sent(client, sheet(300))
    assert await ImportRetention(client, keep_days=1e-9).remove_old() == 0
    async with running(applier.run()):
        for one in (waiting, old):
            await imports.wait_for_import(client, one.id, seconds=PATIENCE)
        assert await ImportRetention(client, keep_days=1).remove_old() == 0
        assert await ImportRetention(client, keep_days=1e-9).remove_old() == 2
        with pytest.raises(NotFound):
            await imports.get_import(client, old.id)
        assert (await client.query(IMPORT_ROWS.name, partition=old.id)).items == []
        # What they brought stays, and the file may come again.
        assert (await client.get_item(STOCK.name, {"store": "Store 0", "item": "Item 7"})).item is not None
        assert (await sent(client, sheet(300))).id != old.id
    mine.close()
