"""Corporate data under its own key: what other programs read, and tables that were made before."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from shared.domain.records import Delete, Put, Transaction
from shared.domain.tables import CHAINS, Tables, corporate_data, corporate_log
from shared.stores.dynamodb.client import open_client
from shared.stores.dynamodb.record_tables import create_record_tables
from shared.stores.dynamodb.settings import DynamoSettings
from shared.stores.dynamodb.stores import dynamo_records, dynamo_transfer
from shared.stores.ports.records import ItemLookup, RecordQuery, RecordStore
from tests.support.dynamodb import own_tables

pytestmark = pytest.mark.server

DATA = corporate_data("CorporateData")
TABLES = Tables(DATA, corporate_log("CorporateLog"), CHAINS)
OLDER = Tables(msgspec.structs.replace(DATA, own_key=False), corporate_log("CorporateLog"), CHAINS)


@pytest.fixture
def settings(dynamodb: str) -> DynamoSettings:
    return own_tables(dynamodb)


async def put(store: RecordStore, *names: str) -> None:
    await store.write([Transaction("main", [Put(DATA.name, {"id": name, "n": 1})]) for name in names])


async def get(store: RecordStore, name: str) -> Any:
    (found,) = await store.get([ItemLookup("main", DATA.name, {"id": name})])
    return found


@contextlib.asynccontextmanager
async def other_program(settings: DynamoSettings) -> AsyncIterator[Any]:
    """What reads the table without knowing this suite."""

    async with open_client(settings) as client:

        async def read(name: str) -> Any:
            found = await client.call("get_item", TableName=settings.prefix + DATA.name, Key={"id": {"S": name}})
            return found.get("Item")

        yield read


async def test_another_program_finds_a_record_under_its_id(settings: DynamoSettings) -> None:
    async with dynamo_records(settings, TABLES) as store, other_program(settings) as read:
        await put(store, "x", "ñ\x1fy")
        assert (await read("x"))["n"] == {"N": "1"}
        assert (await read("ñ\x1fy"))["id"] == {"S": "ñ\x1fy"}
        assert (await get(store, "ñ\x1fy")).version == 1
        await store.write([Transaction("main", [Delete(DATA.name, {"id": "x"})])])
        assert await read("x") is None
        found = await store.query(RecordQuery("main", DATA.name, partition="ñ\x1fy"))
        assert [record.item["id"] for record in found.records] == ["ñ\x1fy"]
        page = await store.query(RecordQuery("main", DATA.name, "by_id", limit=1))
        assert [record.item["id"] for record in page.records] == ["ñ\x1fy"]


async def test_a_table_that_was_made_before_works_as_it_did(settings: DynamoSettings) -> None:
    async with open_client(settings) as client:
        await create_record_tables(client, OLDER)
    async with dynamo_records(settings, TABLES) as store:
        await put(store, "a", "b", "c")
        assert (await get(store, "b")).item == {"id": "b", "n": 1}
        page = await store.query(RecordQuery("main", DATA.name, "by_id", limit=2))
        rest = await store.query(RecordQuery("main", DATA.name, "by_id", limit=2, after=page.after))
        assert [record.item["id"] for record in (*page.records, *rest.records)] == ["a", "b", "c"]


@pytest.mark.parametrize("made_before", [False, True])
async def test_every_record_is_moved(settings: DynamoSettings, made_before: bool) -> None:
    if made_before:
        async with open_client(settings) as client:
            await create_record_tables(client, OLDER)
    async with dynamo_records(settings, TABLES) as store:
        await put(store, *"abcde")
    async with dynamo_transfer(settings, TABLES) as (_, items, _):
        found, after = await items.read_items(None, 2)
        while after is not None:
            more, after = await items.read_items(after, 2)
            found += more
    assert sorted(one.partition for one in found if one.table == DATA.name) == [f"main\x1f{name}" for name in "abcde"]
