"""What every store of records does, in the domain's words."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.domain.errors import ComandaError, Conflict, InvalidParams
from shared.domain.records import (
    Action,
    Check,
    Condition,
    Delete,
    Index,
    Item,
    Put,
    Record,
    ReplyRoom,
    Table,
    Transaction,
    Update,
    Written,
)
from shared.domain.tables import Tables
from shared.stores.dynamodb.stores import dynamo_records
from shared.stores.ports.records import Change, ItemLookup, ReadRoom, RecordQuery, RecordStore
from shared.stores.sqlite.records import SqliteRecordStore
from tests.support.dynamodb import patient_tables
from tests.support.memory_records import MemoryRecords, MemoryRecordStore

THINGS = Table(
    "Things",
    partition="id",
    indexes=(Index("by_id", sort="id"), Index("by_colour", partition="colour", sort="size")),
    numbers=frozenset({"size"}),
)
LINES = Table("Lines", partition="page", sort="number", numbers=frozenset({"number"}))
QUIET = Table("Quiet", partition="id", feed=False)
TICKETS = Table(
    "Tickets", partition="id", indexes=(Index("by_colour", partition="colour", sort="id"),), expires="expires"
)
TABLES = Tables(THINGS, LINES, QUIET, TICKETS)


@pytest.fixture(params=["memory", "sqlite", pytest.param("dynamodb", marks=pytest.mark.server)])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordStore]:
    """An empty store of the tables above."""
    if request.param == "memory":
        yield MemoryRecordStore(MemoryRecords(), TABLES)
        return
    if request.param == "sqlite":
        store = SqliteRecordStore(tmp_path / "records.db", TABLES)
        yield store
        await store.close()
        return
    settings = patient_tables(request.getfixturevalue("dynamodb"))
    async with dynamo_records(settings, TABLES) as records:
        yield records


async def do(store: RecordStore, *actions: Action, tenant: str = "t", journal: Put | None = None) -> list[Written]:
    """One transaction that has to succeed."""
    (outcome,) = await store.write([Transaction(tenant, list(actions), journal)])
    if isinstance(outcome, ComandaError):
        raise outcome
    return outcome


async def refused(store: RecordStore, *actions: Action) -> ComandaError:
    """One transaction that has to be refused."""
    (outcome,) = await store.write([Transaction("t", list(actions))])
    assert isinstance(outcome, ComandaError)
    return outcome


async def read(store: RecordStore, name: Any, table: str = "Things", tenant: str = "t") -> Record | None:
    (found,) = await store.get([ItemLookup(tenant, table, {"id": name})])
    return found


def put(name: str, /, when: Condition | None = None, **members: Any) -> Put:
    return Put("Things", {"id": name, **members}, when)


async def ids(store: RecordStore, **query: Any) -> list[Any]:
    """The ids of all pages of a query, two items a page."""
    found: list[Any] = []
    after = None
    while True:
        page = await store.query(RecordQuery(tenant="t", table="Things", limit=2, after=after, **query))
        found += [record.item["id"] for record in page.records]
        after = page.after
        if after is None:
            return found


# Items.

VALUES: list[Any] = [
    "",
    "ñandú \U0001f600 \x00",
    0,
    -1,
    10**38 - 1,
    Decimal("0.1"),
    Decimal("-1.5E-100"),
    Decimal("9.9999999999999999999999999999999999999E+125"),
    True,
    False,
    None,
    [],
    {},
    [1, "two", [True, {"three": Decimal("3.5")}]],
]


@pytest.mark.parametrize("value", VALUES)
async def test_values_come_back_as_they_are(records: RecordStore, value: Any) -> None:
    (written,) = await do(records, put("x", value=value))
    record = await read(records, "x")
    assert record == Record({"id": "x", "value": value}, 1) == written.new
    assert type(record.item["value"]) is type(value)


@pytest.mark.parametrize(
    ("sent", "kept"), [(Decimal("1.50"), Decimal("1.5")), (Decimal("2.0"), 2), (Decimal("1E2"), 100)]
)
async def test_numbers_are_kept_in_one_form(records: RecordStore, sent: str, kept: Any) -> None:
    await do(records, put("x", value=Decimal(sent)))
    record = await read(records, "x")
    assert record is not None
    assert (record.item["value"], type(record.item["value"])) == (kept, type(kept))


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "id"),
        ({"id": 1}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 1025}, "id"),
        ({"id": "x", "size": "large"}, "size"),
        ({"id": "x", "value": 10**38}, "value"),
        ({"id": "x", "value": [Decimal("1E-131")]}, "value[0]"),
        ({"id": "x", "value": {"nan": Decimal("NaN")}}, "value.nan"),
        ({"id": "x", "comanda:v": 1}, "comanda:v"),
        ({"id": "x", "value": "x" * 400 * 1024}, None),
    ],
)
async def test_item_that_some_store_cannot_hold_is_refused(records: RecordStore, item: Item, field: str | None) -> None:
    error = await refused(records, Put("Things", item))
    assert (type(error), error.field) == (InvalidParams, field)


async def test_unknown_table_and_odd_key_are_refused(records: RecordStore) -> None:
    assert (await refused(records, Put("Nothing", {"id": "x"}))).field == "table"
    assert (await refused(records, Delete("Things", {"id": "x", "size": 1}))).field == "size"
    assert (await refused(records, Delete("Lines", {"page": "x"}))).field == "number"


async def test_versions_count_changes_and_go_on_after_a_removal(records: RecordStore) -> None:
    await do(records, put("x"))
    (written,) = await do(records, put("x", colour="red"))
    assert written == Written(Record({"id": "x"}, 1), Record({"id": "x", "colour": "red"}, 2))
    (written,) = await do(records, Delete("Things", {"id": "x"}))
    assert written == Written(Record({"id": "x", "colour": "red"}, 2), None)
    assert await read(records, "x") is None
    (written,) = await do(records, put("x"))
    assert written == Written(None, Record({"id": "x"}, 3))


async def test_deleting_what_is_not_there_is_no_error(records: RecordStore) -> None:
    assert await do(records, Delete("Things", {"id": "x"})) == [Written(None, None)]


async def test_tenants_do_not_see_each_other(records: RecordStore) -> None:
    await do(records, put("x", mine=True), tenant="a")
    assert await read(records, "x", tenant="b") is None
    page = await records.query(RecordQuery("b", "Things", "by_id"))
    assert page.records == []


async def test_update_sets_removes_and_counts(records: RecordStore) -> None:
    key = {"id": "x"}
    update = Update("Things", key, create={"made": "a"}, set={"colour": "red"}, add={"n": 2}, largest={"top": 5})
    (written,) = await do(records, update)
    assert written.new == Record({"id": "x", "made": "a", "colour": "red", "n": 2, "top": 5}, 1)
    update = Update(
        "Things", key, create={"made": "b"}, remove=["colour"], add={"n": Decimal("-0.5")}, largest={"top": 3}
    )
    (written,) = await do(records, update)
    assert written.new == Record({"id": "x", "made": "a", "n": Decimal("1.5"), "top": 5}, 2)


async def test_update_that_makes_no_sense_is_refused(records: RecordStore) -> None:
    await do(records, put("x", name="a", big=10**38 - 1))
    key = {"id": "x"}
    for update in (
        Update("Things", key, add={"name": 1}),
        Update("Things", key, add={"big": Decimal("0.1")}),
        Update("Things", key, set={"id": "y"}),
        Update("Things", key, remove=["id"]),
    ):
        assert isinstance(await refused(records, update), InvalidParams)
    assert await read(records, "x") == Record({"id": "x", "name": "a", "big": 10**38 - 1}, 1)


# Conditions.


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(exists=True), True),
        (Condition(exists=False), False),
        (Condition(version=1), True),
        (Condition(version=2), False),
        (Condition(equal={"n": 1, "name": "a"}), True),
        (Condition(equal={"n": True}), False),
        (Condition(equal={"other": None}), False),
        (Condition(at_least={"n": 1}), True),
        (Condition(at_least={"n": Decimal("1.1")}), False),
        (Condition(at_most={"n": 1, "missing": 0}), True),
        (Condition(at_most={"n": 0}), False),
        (Condition(absent=["other"]), True),
        (Condition(absent=["other", "name"]), False),
    ],
)
async def test_conditions(records: RecordStore, condition: Condition, holds: bool) -> None:
    await do(records, put("x", n=1, name="a"))
    if holds:
        await do(records, Delete("Things", {"id": "x"}, condition))
    else:
        error = await refused(records, Delete("Things", {"id": "x"}, condition))
        assert isinstance(error, Conflict)
        assert error.details == {"version": 1}
    assert (await read(records, "x") is None) is holds


async def test_condition_on_what_is_not_there(records: RecordStore) -> None:
    assert isinstance(await refused(records, put("x", Condition(exists=True))), Conflict)
    await do(records, put("x", Condition(version=0)))
    assert isinstance(await refused(records, put("x", Condition(exists=False))), Conflict)


# Transactions.


async def test_transaction_takes_effect_as_a_whole_or_not_at_all(records: RecordStore) -> None:
    await do(records, put("a"), put("b"), Put("Lines", {"page": "p", "number": 1}))
    error = await refused(
        records,
        put("a", colour="red"),
        Delete("Things", {"id": "b"}),
        Check("Things", {"id": "c"}, Condition(exists=True)),
    )
    assert isinstance(error, Conflict)
    assert await read(records, "a") == Record({"id": "a"}, 1)
    assert await read(records, "b") == Record({"id": "b"}, 1)


async def test_check_leaves_an_item_as_it_is(records: RecordStore) -> None:
    await do(records, put("a"))
    checked, _ = await do(records, Check("Things", {"id": "a"}, Condition(version=1)), put("b"))
    assert checked == Written(Record({"id": "a"}, 1), Record({"id": "a"}, 1))
    assert await read(records, "a") == Record({"id": "a"}, 1)


async def test_transaction_about_one_item_twice_is_refused(records: RecordStore) -> None:
    assert isinstance(await refused(records, put("a"), Delete("Things", {"id": "a"})), InvalidParams)


async def test_transactions_of_one_call_see_those_before_them(records: RecordStore) -> None:
    add = Update("Things", {"id": "x"}, add={"n": 1})
    outcomes = await records.write(
        [
            Transaction("t", [add]),
            Transaction("t", [put("x", Condition(version=7))]),
            Transaction("t", [add]),
        ]
    )
    assert isinstance(outcomes[1], Conflict)
    assert await read(records, "x") == Record({"id": "x", "n": 2}, 2)


SAME: list[tuple[Item | None, dict[str, Any]]] = [
    ({"n": 3}, {"add": {"n": -1}, "when": Condition(at_least={"n": 1})}),
    ({"n": 3}, {"add": {"n": -1}, "when": Condition(at_least={"n": 4})}),
    ({"n": 3}, {"add": {"m": 2}, "set": {"a": [1, {"b": None}], "c": True}, "remove": ["n"], "when": Condition()}),
    ({"n": 3}, {"set": {"n": Decimal("1.50")}, "when": Condition(version=1, exists=True)}),
    ({"n": 3}, {"set": {"n": 4}, "when": Condition(version=2)}),
    ({"n": 3}, {"set": {"colour": "red", "size": 3}, "when": Condition(exists=True)}),
    ({"colour": "red", "size": 3}, {"set": {"n": 1}, "remove": ["colour"], "when": Condition(exists=True)}),
    ({"n": 3}, {"largest": {"n": 7}, "when": Condition(exists=True)}),
    ({"n": 3}, {"create": {"z": 1}, "add": {"n": 1}, "when": Condition(exists=True)}),
    ({"n": 3}, {"set": {"m": 1}, "when": Condition(equal={"n": Decimal("3.0")}, absent=["m"])}),
    ({"n": 3}, {"set": {"m": 1}, "when": Condition(equal={"n": "3"})}),
    ({"n": 1}, {"set": {"m": 1}, "when": Condition(equal={"n": True})}),
    ({"n": None}, {"set": {"m": 1}, "when": Condition(equal={"n": None})}),
    ({}, {"set": {"m": 1}, "when": Condition(equal={"n": None})}),
    ({"o": {"a": [1, 2]}}, {"set": {"m": 1}, "when": Condition(equal={"o": {"a": [1, 2]}})}),
    ({"m": 3}, {"set": {"m": 1}, "when": Condition(absent=["m"])}),
    ({}, {"add": {"n": 1}, "when": Condition(at_least={"n": 0}, at_most={"n": 0})}),
    ({}, {"add": {"n": 1}, "when": Condition(at_least={"n": 1})}),
    ({}, {"add": {"n": 1}, "when": Condition(at_most={"n": -1})}),
    ({"n": "text"}, {"add": {"n": 1}, "when": Condition(exists=True)}),
    ({"n": "text"}, {"add": {"m": 1}, "when": Condition(at_least={"n": 1})}),
    ({"n": 3}, {"set": {"m": 10**38}, "when": Condition(exists=True)}),
    ({"n": 3}, {"set": {"id": "y"}, "when": Condition(exists=True)}),
    ({"n": 3}, {"set": {"comanda:v": 9}, "when": Condition(exists=True)}),
    ({"n": 3}, {"set": {"n": 1}, "add": {"n": 1}, "when": Condition(exists=True)}),
    ({"n": 3}, {"set": {"m": "x" * 400 * 1024}, "when": Condition(exists=True)}),
    (None, {"add": {"n": 1}, "when": Condition(at_least={"n": 0})}),
    (None, {"add": {"n": 1}, "when": Condition(exists=True)}),
    (None, {"add": {"n": 1}, "when": Condition(version=0)}),
    (None, {"add": {"n": 1}, "when": Condition(exists=False)}),
    (None, {"add": {"n": 1}}),
]
"""Items, or removed ones, and updates of them."""


async def test_transactions_that_return_nothing_have_the_same_effect(records: RecordStore) -> None:
    for number, (item, members) in enumerate(SAME):
        found = []
        for returns in (True, False):
            name = f"{number}{'ab'[returns]}"
            await do(records, put(name, **(item or {})))
            if item is None:
                await do(records, Delete("Things", {"id": name}))
            action = Update("Things", {"id": name}, **members)
            (outcome,) = await records.write([Transaction("t", [action], returns=returns)])
            stored = await read(records, name)
            if isinstance(outcome, ComandaError):
                after: Any = (type(outcome), outcome.message, outcome.field, outcome.details, outcome.args)
            else:
                assert (len(outcome), outcome[0].new if outcome else stored) == (returns, stored)
                after = True
            found.append((after, stored and stored.version, stored and {**stored.item, "id": ""}))
        assert found[0] == found[1], (item, members)


async def test_transactions_that_return_nothing_see_expiry_and_versions(records: RecordStore) -> None:
    now = int(time.time())

    async def change(*actions: Action) -> ComandaError | None:
        (outcome,) = await records.write([Transaction("t", list(actions), returns=False)])
        return outcome if isinstance(outcome, ComandaError) else None

    for name, expires in (("past", now - 9), ("soon", now + 500), ("never", None)):
        await do(records, Put("Tickets", {"id": name, "n": 1} | ({} if expires is None else {"expires": expires})))
        live, key = name != "past", {"id": name}
        add = Update("Tickets", key, add={"n": 1}, when=Condition(exists=True))
        assert (await change(add) is None) is live
        assert (await change(Check("Tickets", key, Condition(equal={"n": 2})), put(name)) is None) is live
        stored = await read(records, name, table="Tickets")
        assert (stored and stored.item["n"]) == (2 if live else None)
        gone = Delete("Tickets", key, Condition(version=stored.version if stored else 1))
        assert (await change(gone) is None) is live
        assert await read(records, name, table="Tickets") is None
        assert isinstance(await change(gone), Conflict)
        # The mark of the removed item is not an item.
        assert isinstance(await change(add), Conflict)
        again = Put("Tickets", {"id": name}, Condition(exists=False))
        assert await change(again) is None
        assert isinstance(await change(again), Conflict)
        newer = await read(records, name, table="Tickets")
        assert newer is not None
        assert newer.version > (stored.version if stored else 1)


async def test_conflict_of_a_transaction_that_returns_nothing_names_the_action(records: RecordStore) -> None:
    await do(records, put("a", n=1), put("b", n=1))
    add: dict[str, Any] = {"add": {"n": -1}, "when": Condition(at_least={"n": 1})}
    both: list[Action] = [Update("Things", {"id": "a"}, **add), Update("Things", {"id": "b"}, **add)]
    outcomes = await records.write([Transaction("t", both, returns=False), Transaction("t", both[1:], returns=False)])
    assert outcomes[0] == []
    assert isinstance(outcomes[1], Conflict)
    (outcome,) = await records.write([Transaction("t", [put("c"), both[1]], returns=False)])
    assert isinstance(outcome, Conflict)
    assert (outcome.action, outcome.field) == (1, "n")
    assert await read(records, "c") is None
    changes = (await records.read_changes(None)).changes
    assert [(one.old and one.old.item["n"], one.new and one.new.item["n"]) for one in changes[-2:]] == [(1, 0), (1, 0)]


async def test_journal_is_kept_even_where_a_condition_refuses(records: RecordStore) -> None:
    def entry(number: int) -> Put:
        return Put("Lines", {"page": "log", "number": number})

    outcomes = await records.write(
        [
            Transaction("t", [put("x", Condition(exists=True))], entry(1)),
            Transaction("t", [put("x")], entry(2)),
            Transaction("t", [], entry(3)),
        ]
    )
    assert isinstance(outcomes[0], Conflict)
    assert outcomes[1:] == [[Written(None, Record({"id": "x"}, 1))], []]
    page = await records.query(RecordQuery("t", "Lines", partition="log"))
    assert [record.item["number"] for record in page.records] == [1, 2, 3]


async def test_many_writers_of_one_counter_lose_nothing(records: RecordStore) -> None:
    async def add() -> None:
        await do(records, Update("Things", {"id": "x"}, add={"n": 1}))

    await asyncio.gather(*(add() for _ in range(20)))
    record = await read(records, "x")
    assert record is not None
    assert (record.item["n"], record.version) == (20, 20)


async def test_only_one_of_many_wins_a_condition(records: RecordStore) -> None:
    async def claim(name: str) -> bool:
        (outcome,) = await records.write([Transaction("t", [put("x", Condition(exists=False), owner=name)])])
        return not isinstance(outcome, ComandaError)

    won = await asyncio.gather(*(claim(str(number)) for number in range(10)))
    assert won.count(True) == 1
    record = await read(records, "x")
    assert record is not None
    assert record.item["owner"] == str(won.index(True))


async def test_transactions_over_the_same_items_in_opposite_order_agree(records: RecordStore) -> None:
    await do(records, put("a", n=0), put("b", n=0))

    async def move(one: str, other: str) -> None:
        await do(records, Update("Things", {"id": one}, add={"n": 1}), Update("Things", {"id": other}, add={"n": -1}))

    await asyncio.gather(*(move(*names) for names in [("a", "b"), ("b", "a"), ("a", "b")] * 3))
    found = [await read(records, name) for name in ("a", "b")]
    assert [record and (record.item["n"], record.version) for record in found] == [(3, 10), (-3, 10)]


async def test_item_made_anew_is_not_taken_for_the_one_before(records: RecordStore) -> None:
    await do(records, put("x", n=1))
    await do(records, Delete("Things", {"id": "x"}))
    (written,) = await do(records, put("x", n=2))
    assert written == Written(None, Record({"id": "x", "n": 2}, 2))


async def test_stock_is_never_oversold(records: RecordStore) -> None:
    await do(records, put("x", stock=3))
    take = Update("Things", {"id": "x"}, add={"stock": -1}, when=Condition(at_least={"stock": 1}))

    async def sell() -> bool:
        (outcome,) = await records.write([Transaction("t", [take])])
        return not isinstance(outcome, ComandaError)

    sold = await asyncio.gather(*(sell() for _ in range(8)))
    assert sold.count(True) == 3
    record = await read(records, "x")
    assert record is not None
    assert record.item["stock"] == 0


# Reading.


async def test_items_are_read_in_the_order_of_the_asks(records: RecordStore) -> None:
    await do(records, put("a"), put("b"))
    found = await records.get([ItemLookup("t", "Things", {"id": name}) for name in ("b", "c", "a", "b")])
    assert [record and record.item["id"] for record in found] == ["b", None, "a", "b"]


NUMBERS: list[int | Decimal] = [
    Decimal("-1E+20"),
    -100,
    -99,
    Decimal("-0.5"),
    Decimal("-0.05"),
    0,
    Decimal("0.05"),
    1,
    2,
    10,
    10**30,
]


async def test_sort_keys_are_in_the_order_of_numbers(records: RecordStore) -> None:
    await do(records, *(Put("Lines", {"page": "p", "number": number}) for number in reversed(NUMBERS)))
    page = await records.query(RecordQuery("t", "Lines", partition="p"))
    assert [record.item["number"] for record in page.records] == NUMBERS
    page = await records.query(RecordQuery("t", "Lines", partition="p", low=-99, high=1, descending=True))
    assert [record.item["number"] for record in page.records] == NUMBERS[2:8][::-1]


async def test_index_over_all_items_pages_both_ways(records: RecordStore) -> None:
    names = ["a", "ab", "abc", "b", "ñ", "ﬀ", "\U0001f600"]
    await do(records, *(put(name) for name in reversed(names)))
    assert await ids(records, index="by_id") == names
    assert await ids(records, index="by_id", descending=True) == names[::-1]
    assert await ids(records, index="by_id", prefix="ab") == ["ab", "abc"]
    assert await ids(records, index="by_id", low="ab", high="b") == ["ab", "abc", "b"]


async def test_index_follows_its_items(records: RecordStore) -> None:
    await do(
        records,
        put("a", colour="red", size=2),
        put("b", colour="red", size=1),
        put("c", colour="red", size=1),
        put("d", colour="blue", size=1),
        put("e", colour="red"),
    )
    assert await ids(records, index="by_colour", partition="red") == ["b", "c", "a"]
    await do(records, put("a", colour="blue", size=2), Update("Things", {"id": "b"}, remove=["size"]))
    await do(records, Delete("Things", {"id": "d"}), Update("Things", {"id": "e"}, set={"size": Decimal("0.5")}))
    assert await ids(records, index="by_colour", partition="red") == ["e", "c"]
    assert await ids(records, index="by_colour", partition="blue") == ["a"]


async def test_paging_while_writing_leaves_out_nothing_that_was_there(records: RecordStore) -> None:
    await do(records, *(put(f"a{number}") for number in range(6)))
    first = await records.query(RecordQuery("t", "Things", "by_id", limit=3))
    await do(records, Delete("Things", {"id": "a2"}), put("a1x"), put("a4x"), put("a0", colour="red"))
    rest = await records.query(RecordQuery("t", "Things", "by_id", after=first.after))
    assert [record.item["id"] for record in rest.records] == ["a3", "a4", "a4x", "a5"]


async def test_page_of_large_items_is_cut_short(records: RecordStore) -> None:
    for number in range(4):
        await do(records, put(f"a{number}", text="x" * 390_000))
    page = await records.query(RecordQuery("t", "Things", "by_id"))
    assert 0 < len(page.records) < 4
    rest = await records.query(RecordQuery("t", "Things", "by_id", after=page.after))
    assert [record.item["id"] for record in page.records + rest.records] == ["a0", "a1", "a2", "a3"]


async def test_unknown_index_is_refused(records: RecordStore) -> None:
    with pytest.raises(InvalidParams, match="no index"):
        await records.query(RecordQuery("t", "Things", "by_nothing"))


# The feed.


async def feed(store: RecordStore, after: str | None = None) -> list[tuple[str, int | None, int | None]]:
    """Id and versions before and after, of every change behind a position."""
    found: list[tuple[str, int | None, int | None]] = []
    while True:
        changes = await store.read_changes(after, limit=2)
        if not changes.changes:
            return found
        after = changes.position
        for change in changes.changes:
            image = change.new or change.old
            assert image is not None
            found.append((image.item["id"], change.old and change.old.version, change.new and change.new.version))


async def test_changes_come_once_with_both_images(records: RecordStore) -> None:
    start = (await records.read_changes(None)).position
    await do(records, put("x", n=1))
    await do(records, put("x", n=Decimal("2.5")), Check("Things", {"id": "y"}, Condition(exists=False)))
    await do(records, Put("Quiet", {"id": "z"}))
    await do(records, Delete("Things", {"id": "x"}))
    assert await feed(records, start) == [("x", None, 1), ("x", 1, 2), ("x", 2, None)]
    last = (await records.read_changes(start)).changes[-1]
    assert (last.table, last.tenant, last.new) == ("Things", "t", None)
    assert last.old == Record({"id": "x", "n": Decimal("2.5")}, 2)


async def test_changes_of_concurrent_writers_come_in_order_for_each_item(records: RecordStore) -> None:
    start = (await records.read_changes(None)).position

    async def add(name: str) -> None:
        for _ in range(5):
            await do(records, Update("Things", {"id": name}, add={"n": 1}))

    await asyncio.gather(add("a"), add("b"), add("a"))
    changes = await feed(records, start)
    assert [change[1:] for change in changes if change[0] == "a"] == [(n or None, n + 1) for n in range(10)]
    assert [change[1:] for change in changes if change[0] == "b"] == [(n or None, n + 1) for n in range(5)]


async def test_newest_is_behind_what_was_written(records: RecordStore) -> None:
    await do(records, put("x"))
    newest = await records.newest_position()
    await do(records, put("y"))
    assert await feed(records, newest) == [("y", None, 1)]
    assert await feed(records, await records.newest_position()) == []


async def test_refused_transaction_is_no_change(records: RecordStore) -> None:
    start = (await records.read_changes(None)).position
    await refused(records, put("x", Condition(exists=True)), put("y"))
    assert await feed(records, start) == []


@pytest.mark.parametrize("position", ["x", "-1", "99999999999", ""])
async def test_position_that_was_never_given_is_refused(records: RecordStore, position: str) -> None:
    with pytest.raises(InvalidParams):
        await records.read_changes(position)


async def test_every_page_ends_before_a_mebibyte(records: RecordStore) -> None:
    for number in range(7):
        await do(records, Put("Things", {"id": str(number), "text": "ñ" * 150_000}))
    found: list[Record] = []
    query = RecordQuery("t", "Things", "by_id", limit=100)
    pages = 0
    while True:
        page = await records.query(query)
        assert 1 <= len(page.records) <= 3
        found += page.records
        pages += 1
        if page.after is None:
            break
        query = replace(query, after=page.after)
    assert ([record.item["id"] for record in found], pages) == ([str(number) for number in range(7)], 3)
    asks = [ItemLookup("t", "Things", {"id": str(number)}) for number in range(7)]
    assert [record and record.item["id"] for record in await records.get(asks, room=ReadRoom(2**20))] == ["0", "1", "2"]
    # One that is larger than the room comes alone.
    room = ReadRoom(10)
    assert (len(await records.get(asks, room=room)), room.left < 0) == (1, True)
    assert len(await records.get(asks)) == 7


async def test_changes_come_a_mebibyte_at_a_time(records: RecordStore) -> None:
    position = await records.newest_position()
    for number in range(5):
        await do(records, Put("Things", {"id": str(number), "text": "x" * 300_000}))
    changed: list[str] = []
    for _ in range(20):
        page = await records.read_changes(position)
        # A store over a network reads a page of each shard at least.
        assert sum(len(str(change.new)) for change in page.changes) < 2**21
        changed += [str(change.new.item["id"]) for change in page.changes if change.new is not None]
        position = page.position
        if len(changed) == 5:
            break
    assert sorted(changed) == ["0", "1", "2", "3", "4"]


# Expiry.


async def expiring(store: RecordStore, name: str, seconds: float | None, **members: Any) -> None:
    expiry = {} if seconds is None else {"expires": Decimal(str(round(time.time() + seconds, 3)))}
    await do(store, Put("Tickets", {"id": name, "colour": "red", **expiry, **members}))


async def ticket_ids(store: RecordStore, **query: Any) -> list[str]:
    page = await store.query(RecordQuery(tenant="t", table="Tickets", **query))
    return [record.item["id"] for record in page.records]


async def test_expired_item_is_absent_for_reads(records: RecordStore) -> None:
    for name, seconds in (("1", -1), ("2", 600), ("3", None), ("4", -0.01)):
        await expiring(records, name, seconds)
    await expiring(records, "5", None, expires="soon")
    found = await records.get([ItemLookup("t", "Tickets", {"id": name}) for name in "12345"])
    assert [record is not None for record in found] == [False, True, True, False, True]
    assert sorted(await ticket_ids(records, index="by_colour", partition="red")) == ["2", "3", "5"]
    assert await ticket_ids(records, partition="1") == []
    assert await ticket_ids(records, partition="2") == ["2"]
    page = await records.query(RecordQuery("t", "Tickets", "by_colour", "red", limit=3))
    assert (len(page.records), page.after) == (3, None)


@pytest.mark.parametrize("when", [Condition(exists=False), Condition(version=0), Condition(absent=["expires"])])
async def test_expired_item_is_absent_for_conditions(records: RecordStore, when: Condition) -> None:
    await expiring(records, "x", -1, kept=1)
    (outcome,) = await records.write([Transaction("t", [Update("Tickets", {"id": "x"}, when=Condition(exists=True))])])
    assert isinstance(outcome, Conflict)
    await do(records, Delete("Tickets", {"id": "x"}))
    await do(records, Check("Tickets", {"id": "x"}, when))
    (written,) = await do(records, Update("Tickets", {"id": "x"}, add={"count": 1}, when=when))
    assert (written.old, written.new is not None and written.new.item) == (None, {"id": "x", "count": 1})
    assert await records.get([ItemLookup("t", "Tickets", {"id": "x"})]) == [written.new]


async def test_version_of_an_expired_item_is_not_used_again(records: RecordStore) -> None:
    await expiring(records, "x", 600)
    await expiring(records, "x", -1)
    (first,) = await do(records, Put("Tickets", {"id": "x", "expires": 1}))
    await records.tidy()
    (second,) = await do(records, Put("Tickets", {"id": "x"}))
    assert first.new is not None
    assert second.new is not None
    assert (2 < first.new.version < second.new.version, first.old, second.old) == (True, None, None)


async def test_feed_shows_the_removal_of_an_expired_item(records: RecordStore) -> None:
    await expiring(records, "x", -1)
    await do(records, Put("Tickets", {"id": "x", "expires": 10**10}))
    await do(records, Put("Tickets", {"id": "x", "colour": "red"}))
    found = (await records.read_changes(None)).changes
    images = [[one is not None for one in (change.old, change.new)] for change in found]
    assert images == [[False, True], [True, False], [False, True], [True, True]]


async def test_expired_items_are_removed(records: RecordStore, request: pytest.FixtureRequest) -> None:
    if "dynamodb" in request.node.callspec.params.values():
        pytest.skip("DynamoDB removes them by itself: tests/unit/stores/test_dynamodb_expiry.py")
    await asyncio.gather(*(expiring(records, str(number), -1) for number in range(450)))
    await expiring(records, "stays", 600)
    await records.tidy()
    removed = [change for change in await all_changes(records) if change.new is None]
    assert len(removed) == 450
    assert await ticket_ids(records, index="by_colour", partition="red") == ["stays"]
    await records.tidy()
    assert len([change for change in await all_changes(records) if change.new is None]) == 450


async def all_changes(store: RecordStore) -> list[Change]:
    found: list[Change] = []
    position = None
    while True:
        page = await store.read_changes(position)
        if not page.changes:
            return found
        found += page.changes
        position = page.position


async def test_conflict_names_the_refused_action(records: RecordStore) -> None:
    await do(records, put("b"))
    new = Condition(exists=False)
    actions: list[Action] = [put("a", new), put("c"), put("b", new), put("d", Condition(version=5))]
    error = await refused(records, *actions)
    assert isinstance(error, Conflict)
    assert error.action == 2
    assert await read(records, "a") is None


# The HTTP client of DynamoDB warns of a request of megabytes, which this one has to be.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_updates_and_checks_that_leave_more_than_a_reply_holds_change_nothing(records: RecordStore) -> None:
    for number in range(12):
        await do(records, Put("Quiet", {"id": str(number), "text": "x" * 400_000}))
    updates: list[Action] = [Update("Quiet", {"id": str(number)}, set={"seen": True}) for number in range(10)]
    checks: list[Action] = [Check("Quiet", {"id": str(number)}, Condition(exists=True)) for number in (10, 11)]
    (outcome,) = await records.write([Transaction("t", [*updates, *checks], room=ReplyRoom())])
    assert isinstance(outcome, InvalidParams)
    assert (found := await read(records, "0", "Quiet")) is not None
    assert found.version == 1
    outcomes = await records.write([Transaction("t", [*updates, Delete("Quiet", {"id": "11"})], room=ReplyRoom())])
    assert isinstance(outcomes[0], list)


async def test_transactions_share_the_room_of_a_reply(records: RecordStore) -> None:
    for number in range(12):
        await do(records, Put("Quiet", {"id": str(number), "text": "x" * 400_000}))
    room = ReplyRoom()
    actions: list[Action] = [Update("Quiet", {"id": str(number)}, set={"seen": True}) for number in range(12)]
    actions.append(Put("Quiet", {"id": "new"}))
    outcomes = await records.write([Transaction("t", [action], room=room) for action in actions])
    assert sum(isinstance(outcome, InvalidParams) for outcome in outcomes[:12]) == 2
    assert isinstance(outcomes[12], list)
