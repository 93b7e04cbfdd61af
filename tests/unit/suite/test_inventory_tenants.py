"""The inventory service follows the stock of all tenants, in this process."""

import random
from collections.abc import AsyncIterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clients.accounts.tenants import add_tenant
from clients.errors import ConnectionLost
from clients.inventory import stock
from clients.persistence import ChangePage, PersistenceClient, StoredItem
from services.inventory.reservations import Reserver
from services.inventory.stock_checker import StockChecker
from services.inventory.stock_follower import StockFollower
from services.inventory.tenant_folders import tenant_folder
from shared.domain.errors import InvalidParams
from shared.domain.records import Action
from shared.domain.stock import StockThresholds
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.simulation import pass_time_until
from tests.unit.inventory.orders import job

LEVELS = StockThresholds(5, 2)
SHEET = "store,item,count\nA,pan,3\nB,agua,40\n"


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server with the tenants `acme` and `zoo`."""
    async with PersistenceClient("127.0.0.1", await suite.start_persistence()) as made:
        await add_tenant(made, "acme", {})
        await add_tenant(made, "zoo", {})
        yield made


def follower_of(client: PersistenceClient) -> StockFollower:
    return StockFollower(
        client, LEVELS, on_import=lambda _: None, on_alert=lambda _: None, on_loss=lambda: None, publish_alerts=True
    )


async def movements(records: PersistenceClient, item: str) -> list[tuple[str, int]]:
    found, _ = await stock.list_movements(records, "A", item, limit=1000, cursor=None)
    return [(one.cause, one.count) for one in found]


async def sums(records: PersistenceClient) -> list[tuple[int, int, int]]:
    found, _ = await stock.list_stores(records, limit=1000, cursor=None)
    return [(one.items, one.units, one.low) for one in found]


async def test_stock_of_each_tenant_has_its_movements_sums_and_alerts(suite: Suite, client: PersistenceClient) -> None:
    await suite.start_inventory()
    acme, zoo = client.of("acme"), client.of("zoo")
    await stock.set_count(client, "A", "pan", 9, version=None)
    await stock.set_count(acme, "A", "pan", 40, version=None)
    await stock.set_count(acme, "A", "pan", 2, version=None)
    await stock.set_count(zoo, "A", "agua", 7, version=None)
    await pass_time_until(lambda: sums(zoo))
    await pass_time_until(lambda: stock.list_alerts(acme, None, limit=9, cursor=None))
    assert await movements(client, "pan") == [("edit", 9)]
    assert await movements(acme, "pan") == [("edit", 2), ("edit", 40)]
    assert (await movements(zoo, "pan"), await movements(zoo, "agua")) == ([], [("edit", 7)])
    assert [await sums(records) for records in (client, acme, zoo)] == [[(1, 9, 0)], [(1, 2, 1)], [(1, 7, 0)]]
    alerts = [(await stock.list_alerts(records, None, limit=9, cursor=None))[0] for records in (client, acme, zoo)]
    assert [[(one.item, one.count, one.state) for one in found] for found in alerts] == [[], [("pan", 2, "open")], []]
    await stock.acknowledge_alert(acme, "A", "pan")


async def test_import_of_a_tenant_is_applied_and_undone(
    suite: Suite, client: PersistenceClient, cli: InProcessCli
) -> None:
    await suite.start_inventory()
    status, (found,), _ = await cli.run("inventory", "upload", "-", "--tenant", "acme", stdin=SHEET)
    assert (status, found["state"]) == (0, "applied")
    assert (await cli.run("inventory", "list"))[1] == []
    listed = (await cli.run("inventory", "list", "--tenant", "acme"))[1]
    assert [(one["item"], one["count"]) for one in listed] == [("pan", 3), ("agua", 40)]
    # The same file is new for another tenant.
    assert (await cli.run("inventory", "upload", "-", "--tenant", "zoo", stdin=SHEET))[0] == 0
    assert (await cli.run("inventory", "undo", found["id"], "--tenant", "zoo"))[0] == 1
    status, (undone,), _ = await cli.run("inventory", "undo", found["id"], "--tenant", "acme")
    assert (status, undone["state"]) == (0, "undone")
    assert [len((await cli.run("inventory", "list", "--tenant", name))[1]) for name in ("acme", "zoo")] == [0, 2]
    for name in ("..", "A/b", "x" * 41):
        status, _, told = await cli.run("inventory", "list", "--tenant", name)
        assert (status, "is not the name of a tenant" in told) == (1, True)


async def test_files_in_the_folder_of_a_tenant_are_its_own(
    suite: Suite, client: PersistenceClient, log: list[MutableMapping[str, Any]]
) -> None:
    uploads = suite.folder / "uploads"
    for name in ("acme", "zoo", "done", "main", "Acme", "nobody"):
        (uploads / name).mkdir(parents=True)
        (uploads / name / "stock.csv").write_text(SHEET.replace("pan", f"pan of {name}"))
    (uploads / "zoo" / "stock.csv").write_text("store,item\nA,x\n")
    outside = suite.folder / "outside"
    outside.mkdir()
    (outside / "stock.csv").write_text(SHEET)
    await add_tenant(client, "link", {})
    (uploads / "link").symlink_to(outside)
    (uploads / "stock.csv").write_text(SHEET.replace("pan", "pan of the root"))
    await suite.start_inventory()
    acme = client.of("acme")
    await pass_time_until(lambda: sums(acme))
    await pass_time_until(lambda: sums(client))
    await pass_time_until(lambda: list((uploads / "zoo" / "rejected").glob("stock.*.csv")))
    assert [row async for row in stock.iterate_stock(acme)] == [("A", "pan of acme", 3), ("B", "agua", 40)]
    assert [row async for row in stock.iterate_stock(client)] == [("A", "pan of the root", 3), ("B", "agua", 40)]
    assert len(list((uploads / "acme" / "done").iterdir())) == 1
    for name in ("done", "main", "Acme", "nobody", "link"):
        assert (uploads / name / "stock.csv").exists()
    assert [entry["folders"] for entry in log if entry["event"] == "uploads_of_unknown_tenant"] == [["nobody"]]
    # Its folder is read as soon as the tenant is there.
    await add_tenant(client, "nobody", {})
    await pass_time_until(lambda: sums(client.of("nobody")))


@pytest.mark.parametrize("name", ["..", ".", "A/b", "a/../b", "", "x" * 41])
def test_path_of_an_unsafe_name_is_not_made(name: str) -> None:
    with pytest.raises(InvalidParams):
        tenant_folder(Path("uploads"), name)


async def test_invalid_records_of_a_tenant_hold_up_no_other(
    suite: Suite, client: PersistenceClient, log: list[MutableMapping[str, Any]]
) -> None:
    await suite.start_inventory()
    acme, zoo = client.of("acme"), client.of("zoo")
    await acme.put_item("Stores", {"store": "A", "items": "many"})
    await stock.set_count(acme, "A", "pan", 9, version=None)
    await stock.set_count(zoo, "A", "pan", 9, version=None)
    await stock.set_count(client, "A", "pan", 9, version=None)
    await pass_time_until(lambda: sums(client))
    await pass_time_until(lambda: sums(zoo))
    assert [entry["tenant"] for entry in log if entry["event"] == "tenant_stock_skipped"] == ["acme"]


class _LossyClient(PersistenceClient):
    """A client that loses answers, and requests before they are sent; its views do as well."""

    chance = 0.0
    random = random.Random(7)

    async def transact(
        self, actions: Sequence[Action], *, safe: bool = False, items: bool = True
    ) -> Sequence[StoredItem]:
        if self.random.random() < self.chance:
            raise ConnectionLost("the request was lost")
        found = await super().transact(actions, safe=safe, items=items)
        if self.random.random() < self.chance:
            raise ConnectionLost("the answer was lost")
        return found


async def test_each_change_counts_once_whatever_is_lost(suite: Suite, client: PersistenceClient) -> None:
    chance = random.Random(11)
    tenants = ["main", "acme", "zoo"]
    lossy = _LossyClient("127.0.0.1", suite.ports["tcp_persist_port"])
    follower = follower_of(lossy)
    for _ in range(20):
        for _ in range(chance.randrange(12)):
            records, item = client.of(chance.choice(tenants)), chance.choice("xyz")
            if chance.random() < 0.2:
                await records.delete_item("Stock", {"store": "A", "item": item})
            else:
                await stock.set_count(records, "A", item, chance.randrange(12), version=None)
        lossy.chance = 0.3
        if chance.random() < 0.3:
            # A new process knows only what is stored.
            follower = follower_of(lossy)
            await follower._load_position()
        try:
            await follower.process_page()
        except ConnectionLost:
            await follower._load_position()
    lossy.chance = 0.0
    await follower._load_position()
    while await follower.process_page() or follower._position != (await client.changes(None, tenant=None)).position:
        pass
    checker = StockChecker(client, LEVELS, read_again_seconds=0.0)
    for tenant in tenants:
        records = client.of(tenant)
        rows = [count async for _, _, count in stock.iterate_stock(records)]
        expected = [(len(rows), sum(rows), sum(LEVELS.is_low(count) for count in rows))] if rows else []
        assert (tenant, await sums(records)) == (tenant, expected)
        assert await checker.check_stock(tenant) == []
        low = [one.count for one in (await stock.list_alerts(records, None, limit=99, cursor=None))[0]]
        assert all(not LEVELS.is_enough(count) for count in low)
    lossy.close()


async def test_checker_corrects_the_stock_of_every_tenant(
    suite: Suite, client: PersistenceClient, log: list[MutableMapping[str, Any]]
) -> None:
    await stock.set_count(client.of("acme"), "A", "pan", 9, version=None)
    await client.of("acme").put_item("StockMovements", {"ledger": "x", "entry": "x"})
    (found,) = await StockChecker(client, LEVELS, read_again_seconds=0.0).check_stock("acme")
    assert (found.item, found.has, found.movements) == ("pan", 9, 0)
    assert await sums(client.of("acme")) == [(1, 9, 0)]
    assert await StockChecker(client, LEVELS, read_again_seconds=0.0).check_stock("acme") == []
    assert [entry["tenant"] for entry in log if entry["event"] == "count_mismatch_corrected"] == ["acme"]


class _CountingClient(PersistenceClient):
    """A client that counts the pages of changes that it reads."""

    pages = 0

    async def changes(
        self, after: str | None, *, tenant: str | msgspec.UnsetType | None = msgspec.UNSET, limit: int = 1000
    ) -> ChangePage:
        type(self).pages += 1
        assert tenant is None
        return await super().changes(after, tenant=tenant, limit=limit)


async def test_feed_is_read_once_for_all_tenants(suite: Suite, client: PersistenceClient) -> None:
    for number in range(200):
        await client.of(f"t{number}").put_item("Stock", {"store": "A", "item": "pan", "count": 9})
    counting = _CountingClient("127.0.0.1", suite.ports["tcp_persist_port"])
    follower = follower_of(counting)
    while await follower.process_page():
        pass
    # One page has 500 changes, and the last one may be empty.
    assert _CountingClient.pages <= 2
    assert await movements(client.of("t0"), "pan") == await movements(client.of("t199"), "pan") == [("edit", 9)]
    counting.close()


async def test_reservations_are_those_of_the_client_of_a_tenant(client: PersistenceClient) -> None:
    acme = client.of("acme")
    await stock.set_count(acme, "A", "pan", 9, version=None)
    await stock.set_count(client, "A", "pan", 9, version=None)
    order = job(1, "pan", "pan")
    assert await Reserver(acme).reserve_orders([order]) == {}
    assert [[row async for row in stock.iterate_stock(one)] for one in (acme, client)] == [
        [("A", "pan", 7)],
        [("A", "pan", 9)],
    ]
    assert await Reserver(client).load_held([order.id]) == {}
    assert await Reserver(acme).release_order(order.id, order.request.items)
    assert [row async for row in stock.iterate_stock(acme)] == [("A", "pan", 9)]
