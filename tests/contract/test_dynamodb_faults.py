"""Records on a DynamoDB that is slow, busy, away, or whose answers get lost: nothing is done twice or half."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from shared.domain.errors import ComandaError, Conflict, StoreError
from shared.domain.records import Action, Condition, Delete, Put, Record, Table, Transaction, Update, Written
from shared.domain.tables import Tables
from shared.stores.dynamodb.settings import DynamoSettings
from shared.stores.dynamodb.stores import dynamo_records
from shared.stores.ports.records import ItemLookup, RecordQuery, RecordStore
from tests.support.dynamodb import DynamoServer, own_tables
from tests.support.proxy import Fault, Proxy

pytestmark = pytest.mark.server

THINGS = Table("Things", partition="id")
LINES = Table("Lines", partition="page", sort="number", numbers=frozenset({"number"}), feed=False)
TABLES = Tables(THINGS, LINES)
ADD = Update("Things", {"id": "x"}, add={"n": 1})


@pytest.fixture
async def settings(dynamodb: str) -> DynamoSettings:
    """Where tables are that are nobody else's."""
    settings = own_tables(dynamodb)
    async with dynamo_records(settings, TABLES):
        return settings


@pytest.fixture
async def proxy(dynamodb: str) -> AsyncIterator[Proxy]:
    """What spoils calls."""
    async with Proxy(dynamodb).running() as proxy:
        yield proxy


@pytest.fixture
async def records(settings: DynamoSettings, proxy: Proxy) -> AsyncIterator[RecordStore]:
    """The store behind the proxy, which gives up an attempt soon."""
    near = msgspec.structs.replace(settings, endpoint=proxy.endpoint, attempt_seconds=1.0)
    async with dynamo_records(near, TABLES) as records:
        yield records


@pytest.fixture
async def others(settings: DynamoSettings) -> AsyncIterator[RecordStore]:
    """The same tables, seen by somebody whose network is good."""
    async with dynamo_records(settings, TABLES) as records:
        yield records


async def write(store: RecordStore, *actions: Action, journal: Put | None = None) -> list[Written] | ComandaError:
    (outcome,) = await store.write([Transaction("t", list(actions), journal)])
    return outcome


async def read(store: RecordStore, name: str = "x") -> Record | None:
    (found,) = await store.get([ItemLookup("t", "Things", {"id": name})])
    return found


def entry(number: int) -> Put:
    return Put("Lines", {"page": "log", "number": number})


LOST: list[tuple[str, Sequence[Action]]] = [
    ("PutItem", [ADD]),
    ("TransactWriteItems", [ADD, Update("Things", {"id": "y"}, add={"n": 1})]),
]


@pytest.mark.parametrize(("operation", "actions"), LOST)
async def test_write_whose_answer_is_lost_is_done_once(
    records: RecordStore, proxy: Proxy, operation: str, actions: Sequence[Action]
) -> None:
    proxy.faults += [Fault(operation, lost=True)] * 2
    outcome = await write(records, *actions)
    assert not proxy.faults
    assert isinstance(outcome, list)
    assert outcome[0] == Written(None, Record({"id": "x", "n": 1}, 1))
    assert await read(records) == Record({"id": "x", "n": 1}, 1)


async def test_journal_whose_answer_is_lost_is_written_once(records: RecordStore, proxy: Proxy) -> None:
    proxy.faults.append(Fault("TransactWriteItems", lost=True))
    assert isinstance(await write(records, ADD, journal=entry(1)), list)
    page = await records.query(RecordQuery("t", "Lines", partition="log"))
    assert (len(page.records), (await read(records))) == (1, Record({"id": "x", "n": 1}, 1))


async def test_deletion_whose_answer_is_lost_is_done(records: RecordStore, proxy: Proxy) -> None:
    await write(records, ADD)
    proxy.faults.append(Fault("DeleteItem", lost=True))
    assert await write(records, Delete("Things", {"id": "x"})) == [Written(Record({"id": "x", "n": 1}, 1), None)]
    assert await read(records) is None


async def test_lost_answer_behind_which_others_wrote_is_told_as_unknown(
    records: RecordStore, others: RecordStore, proxy: Proxy
) -> None:
    async def overtake() -> None:
        await write(others, ADD)

    proxy.faults.append(Fault("PutItem", lost=True, meanwhile=overtake))
    outcome = await write(records, ADD)
    assert isinstance(outcome, StoreError)
    assert "not known" in outcome.message
    assert await read(records) == Record({"id": "x", "n": 2}, 2)


async def test_call_that_never_reached_the_server_is_made_again(records: RecordStore, proxy: Proxy) -> None:
    proxy.faults.append(Fault("PutItem", hangs=True))
    assert isinstance(await write(records, ADD), list)
    assert proxy.hung.is_set()
    assert await read(records) == Record({"id": "x", "n": 1}, 1)


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError"]
)
async def test_busy_server_is_asked_again(records: RecordStore, proxy: Proxy, code: str) -> None:
    proxy.faults += [Fault.error("GetItem", code), Fault.error("PutItem", code), Fault.error("PutItem", code)]
    assert isinstance(await write(records, ADD), list)
    assert not proxy.faults
    assert await read(records) == Record({"id": "x", "n": 1}, 1)


async def test_transaction_in_the_way_of_another_is_tried_again(records: RecordStore, proxy: Proxy) -> None:
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
    proxy.faults.append(Fault.error("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons))
    assert isinstance(await write(records, ADD, journal=entry(1)), list)
    assert await read(records) == Record({"id": "x", "n": 1}, 1)


TAKE = Update("Things", {"id": "x"}, add={"n": -1}, when=Condition(at_least={"n": 1}))


async def take(store: RecordStore) -> list[Written] | ComandaError:
    """Takes one of a hot item, without asking for the item."""
    (outcome,) = await store.write([Transaction("t", [TAKE], returns=False)])
    return outcome


async def test_native_write_is_done_once_whatever_happens_to_its_answers(records: RecordStore, proxy: Proxy) -> None:
    await write(records, Put("Things", {"id": "x", "n": 2}))
    reasons = [{"Code": "TransactionConflict"}]
    conflict = Fault.error("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    # No item is read: that would fail.
    unread = [Fault("GetItem", hangs=True), Fault("BatchGetItem", hangs=True)]
    proxy.faults += [conflict, conflict, *[Fault("TransactWriteItems", lost=True)] * 2, *unread]
    assert await take(records) == []
    assert list(proxy.faults) == unread
    proxy.faults.clear()
    assert await read(records) == Record({"id": "x", "n": 1}, 2)


async def test_native_write_that_may_come_late_is_told_as_unknown(
    records: RecordStore, others: RecordStore, proxy: Proxy
) -> None:
    await write(others, Put("Things", {"id": "x", "n": 1}))

    async def overtake() -> None:
        assert await take(others) == []

    proxy.faults.append(Fault("TransactWriteItems", hangs=True, meanwhile=overtake))
    outcome = await take(records)
    assert isinstance(outcome, StoreError)
    assert "not known" in outcome.message
    assert isinstance(await take(records), Conflict)


async def test_hot_item_is_taken_from_by_several_servers_without_rounds(
    settings: DynamoSettings, others: RecordStore, proxy: Proxy
) -> None:
    await write(others, Put("Things", {"id": "x", "n": 30}))
    near = msgspec.structs.replace(settings, endpoint=proxy.endpoint)
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(dynamo_records(near, TABLES)) for _ in range(4)]
        proxy.calls.clear()
        outcomes = await asyncio.gather(*(take(servers[number % 4]) for number in range(40)))
    assert sum(outcome == [] for outcome in outcomes) == 30
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 10
    # Only those that get none read the item, to say why.
    assert (proxy.calls["TransactWriteItems"], proxy.calls["GetItem"]) == (40, 10)
    assert await read(others) == Record({"id": "x", "n": 0}, 31)
    changes = (await others.read_changes(None)).changes
    assert [one.new and one.new.item["n"] for one in changes] == [*range(30, -1, -1)]


async def test_who_was_slower_decides_on_what_is_there_now(
    records: RecordStore, others: RecordStore, proxy: Proxy
) -> None:
    await write(others, Put("Things", {"id": "x", "n": 1}))
    proxy.faults.append(Fault.error("PutItem", "ConditionalCheckFailedException"))
    assert isinstance(await write(records, Put("Things", {"id": "x"}, Condition(at_most={"n": 1}))), list)
    await write(others, Put("Things", {"id": "x", "n": 2}))
    assert isinstance(await write(records, Put("Things", {"id": "x"}, Condition(at_most={"n": 1}))), Conflict)


async def test_entry_of_the_journal_that_another_server_wrote_refuses_all_that_follow(
    records: RecordStore, others: RecordStore
) -> None:
    await write(others, journal=entry(1))
    many = [Transaction("t", [Put("Things", {"id": f"x{n}"})], entry(n)) for n in range(1, 80)]
    outcomes = await records.write(many)
    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert await read(records, "x70") is None


async def test_hot_item_costs_only_its_own_writers(settings: DynamoSettings, proxy: Proxy) -> None:
    near = msgspec.structs.replace(settings, endpoint=proxy.endpoint, deadline_seconds=0.3)
    proxy.faults += [Fault.error("PutItem", "ConditionalCheckFailedException")] * 10_000
    async with dynamo_records(near, TABLES) as records:
        both = [Transaction("t", [ADD]), Transaction("t", [Update("Things", {"id": "y"}, add={"n": 1})], entry(1))]
        refused, done = await records.write(both)
    assert isinstance(refused, StoreError)
    assert isinstance(done, list)


@pytest.fixture
def server() -> Any:
    """A server of one's own, to be stopped and killed."""
    server = DynamoServer()
    server.start()
    yield server
    server.stop()


async def test_server_that_hangs_is_given_up_in_time_and_used_again(server: DynamoServer) -> None:
    settings = msgspec.structs.replace(own_tables(server.endpoint), attempt_seconds=0.2, deadline_seconds=0.5)
    patient = msgspec.structs.replace(settings, attempt_seconds=10.0, deadline_seconds=30.0)
    async with dynamo_records(patient, TABLES), dynamo_records(settings, TABLES) as records:
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match="no good answer"):
                await read(records)
            assert isinstance(await write(records, ADD), StoreError)
        finally:
            server.process.send_signal(signal.SIGCONT)
        async with dynamo_records(patient, TABLES) as again:
            # What was given up may have been done when the server went on.
            done = await write(again, ADD)
            assert isinstance(done, list)
            assert done[0].new is not None
            assert done[0].new.version <= 2


async def test_server_killed_in_mid_flight_is_told_as_such(server: DynamoServer) -> None:
    settings = msgspec.structs.replace(own_tables(server.endpoint), deadline_seconds=2.0)
    async with dynamo_records(settings, TABLES) as records:
        writing = asyncio.create_task(
            records.write([Transaction("t", [Put("Things", {"id": f"x{n}"})]) for n in range(500)])
        )
        await read(records)
        server.stop()
        outcomes = await writing
        assert any(isinstance(outcome, StoreError) for outcome in outcomes)
        assert all(isinstance(outcome, StoreError | list) for outcome in outcomes)
