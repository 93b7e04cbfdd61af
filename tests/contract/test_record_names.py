"""Names as keys, and versions over removals, on every store of records."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.domain.errors import ComandaError, Conflict, InvalidParams
from shared.domain.records import Action, Check, Condition, Delete, Put, Record, Transaction, Update
from shared.domain.stock import ledger_of
from shared.domain.tables import ALERTS, MOVEMENTS, STOCK, STORES, TASKS, Tables, corporate_data
from shared.stores.dynamodb.client import open_client
from shared.stores.dynamodb.items import GONE, raw_key
from shared.stores.dynamodb.stores import dynamo_records
from shared.stores.keys import item_keys
from shared.stores.ports.records import Change, ItemLookup, RecordQuery, RecordStore
from shared.stores.sqlite.records import SqliteRecordStore
from tests.support.dynamodb import own_tables
from tests.support.memory_records import MemoryRecords, MemoryRecordStore

Opener = Callable[[Tables], AbstractAsyncContextManager[RecordStore]]

NOW = Tables(STOCK, STORES, MOVEMENTS, ALERTS, TASKS, corporate_data("CorporateData"))
BEFORE = Tables(*(replace(table, folded=frozenset()) for table in (STOCK, STORES, MOVEMENTS, ALERTS, TASKS)))
"""The same tables as they were when each spelling was a key of its own."""


SERVER = pytest.param("dynamodb", marks=pytest.mark.server)


@pytest.fixture(params=["memory", "sqlite", SERVER])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens one and the same database, empty at first."""
    if request.param == "dynamodb":
        settings = own_tables(request.getfixturevalue("dynamodb"))
        return lambda tables: dynamo_records(settings, tables)

    if request.param == "memory":
        database = MemoryRecords()
        return lambda tables: contextlib.nullcontext(MemoryRecordStore(database, tables))

    @contextlib.asynccontextmanager
    async def sqlite(tables: Tables) -> AsyncIterator[RecordStore]:
        store = SqliteRecordStore(tmp_path / "records.db", tables)
        try:
            yield store
        finally:
            await store.close()

    return sqlite


@pytest.fixture
async def records(opener: Opener) -> AsyncIterator[RecordStore]:
    """An empty store."""
    async with opener(NOW) as store:
        yield store


async def do(store: RecordStore, *actions: Action) -> list[Record | None]:
    """What one transaction leaves, which has to succeed."""
    (outcome,) = await store.write([Transaction("main", list(actions))])
    if isinstance(outcome, ComandaError):
        raise outcome
    return [written.new for written in outcome]


async def read(records: RecordStore, table: str, /, **key: Any) -> Record | None:
    (found,) = await records.get([ItemLookup("main", table, key)])
    return found


async def listed(store: RecordStore, table: str, **query: Any) -> list[dict[str, Any]]:
    page = await store.query(RecordQuery("main", table, **query))
    return [record.item for record in page.records]


def stock(store: str, item: str, count: int, **members: Any) -> Put:
    return Put("Stock", {"store": store, "item": item, "count": count, **members})


# Names.

SPELLINGS = ["Caf\u00e9", "Cafe\u0301", "CAFE\u0301", " caf\u00e9\u00a0", "Ca\u200bf\u00e9"]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_item_is_found_by_every_spelling_of_its_name(records: RecordStore, spelling: str) -> None:
    await do(records, stock("Berl\u00edn  Mitte", "Caf\u00e9", 5))
    key = {"store": "berl\u00edn mitte", "item": spelling}
    (taken,) = await do(records, Update("Stock", key, add={"count": -2}, when=Condition(at_least={"count": 2})))
    kept = Record({"store": "Berl\u00edn  Mitte", "item": "Caf\u00e9", "count": 3}, 2)
    assert taken == kept == await read(records, "Stock", **key)
    assert await listed(records, "Stock", partition=" BERL\u00cdN MITTE") == [kept.item]
    assert await listed(records, "Stock", index="by_item", partition=spelling, low="BERL\u00cdN") == [kept.item]
    (again,) = await do(records, Put("Stock", {**key, "count": 9}))
    assert again == Record({"store": "Berl\u00edn  Mitte", "item": "Caf\u00e9", "count": 9}, 3)
    assert await listed(records, "Stock", index="all") == [again.item]
    await do(records, Delete("Stock", key))
    assert await listed(records, "Stock", index="all") == []


async def test_two_spellings_in_one_transaction_are_one_item(records: RecordStore) -> None:
    with pytest.raises(InvalidParams, match="about one item"):
        await do(records, stock("A", "Pan", 1), stock("a", "PAN", 2))


async def test_another_name_is_another_key(records: RecordStore) -> None:
    with pytest.raises(InvalidParams, match="cannot be changed"):
        await do(records, Update("Stock", {"store": "A", "item": "Pan"}, set={"item": "Agua"}))


@pytest.mark.parametrize(("store", "item"), [("A", "\u3164"), ("\u200b", "x"), ("A", "\u0149" * 200)])
async def test_name_that_cannot_be_a_key_is_refused(records: RecordStore, store: str, item: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        await do(records, stock(store, item, 1))
    assert refused.value.field == ("store" if store != "A" else "item")


# The fake has no data of an earlier version.
@pytest.mark.parametrize("opener", ["sqlite", SERVER], indirect=True)
async def test_items_of_before_get_the_keys_of_now(opener: Opener) -> None:
    def movement(item: str, change: int) -> Put:
        return Put("StockMovements", {"ledger": ledger_of("B", item), "entry": "2026#1", "change": change})

    async with opener(BEFORE) as store:
        await do(
            store, stock("B", "Echo Dot", 5), stock("B", "echo dot", 2), stock("B", "Pan", 7), stock("b", "Agua", 1)
        )
        await do(store, movement("Echo Dot", 5), movement("echo dot", 2), movement("Pan", 7))
        await do(store, Put("Stores", {"store": "B", "items": 3, "units": 14, "low": 1}))
        await do(store, Put("Stores", {"store": "b", "items": 1, "units": 1, "low": 1}))
        await do(store, Put("StockAlerts", {"store": "B", "item": "echo dot", "state": "open", "since": "x"}))
        position = await store.newest_position()
    for _ in range(2):
        async with opener(NOW) as store:
            pan = await read(store, "Stock", store="b", item="pan")
            assert pan == Record({"store": "B", "item": "Pan", "count": 7}, 1)
            counts = [
                (one["store"].lower(), one["item"].lower(), one["count"])
                for one in await listed(store, "Stock", index="all")
            ]
            assert sorted(counts) == [("b", "agua", 1), ("b", "echo dot", 7), ("b", "pan", 7)]
            assert await listed(store, "Stock", index="by_item", partition="Pan") == [pan.item]
            (sums,) = await listed(store, "Stores", index="all")
            assert [sums[name] for name in ("items", "units", "low")] == [4, 15, 2]
            moves = await listed(store, "StockMovements", partition=ledger_of("b", "ECHO DOT"))
            assert sorted(move["change"] for move in moves) == [2, 5]
            assert await read(store, "StockAlerts", store="B", item="Echo Dot") is not None
            assert [one["item"] for one in await listed(store, "StockAlerts", index="by_state", partition="open")] == [
                "echo dot"
            ]
            told = [change for change in await changes(store, position) if change.table == "Stock"]
            told = [one for one in told if one.old is None or one.new is None or one.old.item != one.new.item]
    # What was one of two is told as gone, the other with both counts; nothing is told of what was only moved.
    images = [(one.old and one.old.item["count"], one.new and one.new.item["count"]) for one in told]
    assert sorted(images, key=str) in ([(2, 7), (5, None)], [(2, None), (5, 7)])


async def changes(store: RecordStore, position: str) -> list[Change]:
    found: list[Change] = []
    while True:
        page = await store.read_changes(position)
        if page.position == position or not page.changes:
            return found
        found += page.changes
        position = page.position


async def test_moving_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    for tables in (BEFORE, NOW):
        store = SqliteRecordStore(path, tables)
        await do(store, stock("B", "Echo Dot", 5))
        await store.close()
        # As if it had been killed behind the last item.
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute("DELETE FROM meta")
            file.execute("DELETE FROM entries")
            file.commit()
    store = SqliteRecordStore(path, NOW)
    assert await listed(store, "Stock", index="all") == [{"store": "B", "item": "Echo Dot", "count": 5}]
    await store.close()


# Versions.


async def test_version_of_a_key_never_stands_for_two_contents(records: RecordStore) -> None:
    key = {"store": "A", "item": "Pan"}
    versions: list[int] = []
    for count in range(4):
        for _ in range(count + 1):
            (made,) = await do(records, stock("A", "Pan", count))
            assert made is not None
            versions.append(made.version)
        await do(records, Delete("Stock", key))
        with pytest.raises(Conflict):
            await do(records, Check("Stock", key, Condition(version=versions[-1])))
        await do(records, Check("Stock", key, Condition(version=0, exists=False)))
    assert versions == sorted(set(versions))


async def test_version_of_corporate_data_never_stands_for_two_contents(records: RecordStore) -> None:
    versions: list[int] = []
    for n in range(3):
        for _ in range(2):
            (made,) = await do(records, Put("CorporateData", {"id": "x", "n": n}))
            assert made is not None
            versions.append(made.version)
        with pytest.raises(Conflict):
            await do(records, Delete("CorporateData", {"id": "x"}, Condition(version=1 if n else 99)))
        await do(records, Delete("CorporateData", {"id": "x"}))
        await do(records, Check("CorporateData", {"id": "x"}, Condition(version=0)), stock("A", f"n{n}", 1))
        (other,) = await do(records, Put("CorporateData", {"id": f"y{n}"}, Condition(exists=False)))
        assert other is not None
        assert other.version == 1
    assert versions == sorted(set(versions))
    (made,) = await do(records, Put("CorporateData", {"id": "x"}, Condition(exists=False)))
    assert made is not None
    assert made.version > versions[-1]


@pytest.mark.server
async def test_version_goes_on_at_another_server(dynamodb: str) -> None:
    settings = own_tables(dynamodb)
    async with dynamo_records(settings, NOW) as one, dynamo_records(settings, NOW) as two:
        seen: list[int] = []
        for table, members in (("CorporateData", {"id": "x"}), ("Stock", {"store": "A", "item": "Pan", "count": 1})):
            key = {name: value for name, value in members.items() if name != "count"}
            # Both have read what was removed before, and go by that for a while.
            await do(one, Put(table, {**members, "item": "other"} if table == "Stock" else {"id": "other"}))
            await do(two, Put(table, {**members, "item": "third"} if table == "Stock" else {"id": "third"}))
            for store in (one, two, one, two):
                (made,) = await do(store, Put(table, members, Condition(exists=False)))
                assert made is not None
                seen.append(made.version)
                await do(store, Delete(table, key))
    assert seen == [1, 2, 3, 4] * 2


async def test_version_goes_on_after_a_restart(opener: Opener) -> None:
    async with opener(NOW) as store:
        await do(store, stock("A", "Pan", 1))
        await do(store, stock("A", "Pan", 2))
        await do(store, Delete("Stock", {"store": "A", "item": "Pan"}))
    async with opener(NOW) as store:
        (made,) = await do(store, Put("Stock", {"store": "A", "item": "Pan", "count": 1}, Condition(exists=False)))
        assert made is not None
        assert made.version == 3


@pytest.mark.server
async def test_version_goes_on_when_the_mark_of_a_removal_has_gone(dynamodb: str) -> None:
    settings = own_tables(dynamodb)
    key = {"store": "A", "item": "Pan"}
    async with dynamo_records(settings, NOW) as store, open_client(settings) as client:
        await do(store, stock("A", "Pan", 1))
        await do(store, stock("A", "Pan", 2))
        await do(store, Delete("Stock", key))
        place: dict[str, Any] = {
            "TableName": f"{settings.prefix}Stock",
            "Key": raw_key(STOCK, *item_keys(STOCK, "main", key)),
        }
        assert GONE in (await client.call("get_item", **place))["Item"]
        # DynamoDB does so when its time has come.
        await client.call("delete_item", **place)
        (made,) = await do(store, stock("A", "Pan", 3))
        (other,) = await do(store, stock("A", "Agua", 3))
    assert made is not None
    assert other is not None
    assert (made.version, other.version) == (3, 1)


async def test_version_goes_on_within_one_call(records: RecordStore) -> None:
    delete = Delete("Stock", {"store": "A", "item": "Pan"})
    actions: list[Action] = [stock("A", "Pan", 1), delete, stock("A", "Pan", 2), delete, stock("A", "Pan", 3)]
    outcomes = await records.write([Transaction("main", [action]) for action in actions])
    made = [outcome[0].new.version for outcome in outcomes if isinstance(outcome, list) and outcome[0].new is not None]
    assert made == [1, 2, 3]


async def test_refused_removal_does_not_count(records: RecordStore) -> None:
    await do(records, stock("A", "Pan", 1))
    with pytest.raises(Conflict):
        await do(
            records,
            Delete("Stock", {"store": "A", "item": "Pan"}),
            Check("Stock", {"store": "A", "item": "Agua"}, Condition(exists=True)),
        )
    (made,) = await do(records, stock("A", "Agua", 1))
    assert made is not None
    assert made.version == 1


async def test_what_is_removed_is_nowhere(records: RecordStore) -> None:
    position = await records.newest_position()
    await do(records, *(stock("A", f"item {number}", number) for number in range(5)))
    await do(records, *(Delete("Stock", {"store": "A", "item": f"item {number}"}) for number in range(4)))
    assert [one["item"] for one in await listed(records, "Stock", partition="A", limit=1)] == ["item 4"]
    assert [one["item"] for one in await listed(records, "Stock", index="all", limit=1)] == ["item 4"]
    assert await read(records, "Stock", store="A", item="item 1") is None
    told = await changes(records, position)
    assert sum(one.new is None for one in told) == 4
