"""The record store on DynamoDB. Items are stored with additional members: keys as text, version and write token.

A transaction is evaluated on items that were read before, and written on the condition that they have not changed
since; otherwise it is evaluated again. One that needs no stored item, since its items are new or nobody wants to have
them, is left to DynamoDB to evaluate (`shared.stores.dynamodb.native_writes`).

A write that is repeated after a time-out finds its own token and is not done twice. If another server has written in
between, the outcome is unknown, and the error says so.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shared.domain.errors import ComandaError, Conflict, InvalidParams, StoreError
from shared.domain.names import SEPARATOR
from shared.domain.records import Put, Record, Table, Transaction, Written, check_key, item_bytes
from shared.domain.tables import REMOVALS, Tables
from shared.stores.dynamodb.client import (
    ConditionFailed,
    DynamoClient,
    TransactionInvalid,
)
from shared.stores.dynamodb.items import (
    PARTITION,
    SORT,
    VERSION,
    WRITE,
    Raw,
    live_record,
    raw_item,
    raw_key,
    removed_item,
    text_member,
)
from shared.stores.dynamodb.native_writes import is_new, native_request
from shared.stores.dynamodb.removals import RemovalVersions
from shared.stores.dynamodb.selection import DynamoSelection
from shared.stores.dynamodb.stream_feed import StreamFeed
from shared.stores.dynamodb.transaction_groups import Place, TransactionGroup, find_place, group_transactions
from shared.stores.dynamodb.values import from_value, to_value
from shared.stores.evaluation import evaluate_action
from shared.stores.keys import fold_query, item_keys, partition_key
from shared.stores.ports.records import (
    ITEM_BYTES,
    PAGE_BYTES,
    STORE_TENANT,
    Changes,
    ItemLookup,
    ItemPosition,
    ReadRoom,
    RecordPage,
    RecordQuery,
)

_BATCH_GET = 100
_CONCURRENT = 50

_NativeRequests = dict[Place, dict[str, Any]]
"""Requests of actions that DynamoDB evaluates itself."""


def _mark_of(place: Place) -> Place:
    """Returns the place of the mark of a removed item in tables with their own key, which other programs read."""
    name, partition, _ = place
    return REMOVALS.name, partition_key(STORE_TENANT, f"{name}{SEPARATOR}{partition}"), "mark"


def _unchanged_condition(key: Raw, written: str | None) -> dict[str, Any]:
    """Returns the condition that an item is still from this write, or with None that there is no item."""
    if written is None:
        names = {"#k": next(iter(key))}
        return {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": names}
    return {
        "ConditionExpression": "#w = :w",
        "ExpressionAttributeNames": {"#w": WRITE},
        "ExpressionAttributeValues": {":w": to_value(written)},
    }


class _ItemStep(NamedTuple):
    """The change of one item by a transaction."""

    place: Place
    table: Table
    old: Record | None
    new: Record | None
    written: str | None = None
    """The token of the write that stored the old record."""
    journal: bool = False
    native: dict[str, Any] | None = None
    """The request of an action that DynamoDB evaluates; its records are not known."""

    @property
    def is_change(self) -> bool:
        return self.new is not self.old if self.native is None else "ConditionCheck" not in self.native


class DynamoRecordStore:
    """Implements `RecordStore`; the tables have to exist (`create_tables`)."""

    def __init__(self, dynamo: DynamoClient, feed: StreamFeed, tables: Tables) -> None:
        self._dynamo = dynamo
        self._feed = feed
        self._tables = tables
        self._removals = RemovalVersions(dynamo)
        self._room = asyncio.Semaphore(_CONCURRENT)

    # Writing.

    async def write(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        """See `RecordStore.write`.

        Transactions with journals are written in groups, one after the other; after a failed group no other is written.
        All other transactions are written individually, concurrently unless they affect the same items.
        """
        by = self._dynamo.next_deadline()
        running: list[tuple[TransactionGroup, asyncio.Task[list[list[Written] | ComandaError]]]] = []
        for group in group_transactions(self._tables, transactions):
            before = [task for other, task in running if group.must_follow(other)]
            running.append((group, asyncio.create_task(self._commit_after(before, group, by))))
        outcomes: dict[int, list[Written] | ComandaError] = {}
        found = await asyncio.gather(*(task for _, task in running), return_exceptions=True)
        for (group, _), result in zip(running, found, strict=True):
            if isinstance(result, StoreError):
                outcomes |= dict.fromkeys(group.numbers, result)
            elif isinstance(result, BaseException):
                raise result
            else:
                outcomes |= zip(group.numbers, result, strict=True)
        return [outcomes[number] for number in range(len(transactions))]

    async def _commit_after(
        self, before: Sequence["asyncio.Task[Any]"], group: TransactionGroup, by: float
    ) -> list[list[Written] | ComandaError]:
        for result in await asyncio.gather(*before, return_exceptions=True):
            if isinstance(result, BaseException) and group.journals:
                raise result
        async with self._room:
            read = self._read_items
            while True:
                # New items most likely do not exist, and of hot items there is most likely enough: try without reading.
                natives, others = self._split_places(group)
                if len(others) < len(group.places):
                    current = dict.fromkeys(group.places) | await self._read_current(others, self._read_items, by)
                    outcomes = await self._commit_group(group, current, by, natives)
                    if outcomes is not None:
                        return outcomes
                    read = self._read_marked
                current = await self._read_current(list(group.places), read, by)
                # Separate marks are rare: they are read only after a failed attempt.
                read = self._read_marked
                outcomes = await self._commit_group(group, current, by, {})
                if outcomes is not None:
                    return outcomes
                if asyncio.get_running_loop().time() > by:
                    raise StoreError(
                        "others kept changing the same items until the deadline",
                        hint="try again, or change them less often",
                    )

    def _split_places(self, group: TransactionGroup) -> tuple[_NativeRequests, list[Place]]:
        """Returns the native requests of a group, and the places of the items that its other actions need.

        Actions on new items need none, unless items have to be read anyway.
        """
        natives: _NativeRequests = {}
        new: set[Place] = set()
        # The evaluation reports errors of actions.
        with contextlib.suppress(InvalidParams):
            for transaction in group.transactions:
                for action in transaction.actions:
                    table, place = find_place(self._tables, transaction, action)
                    if is_new(action):
                        new.add(place)
                    elif not transaction.returns and (request := native_request(action, table, *place[1:], group.name)):
                        natives[place] = request
        others = group.places - natives.keys()
        return natives, [] if others <= new else list(others)

    async def _read_current(
        self,
        places: Sequence[Place],
        read: Callable[[Sequence[Place], float], Awaitable[list[Raw | None]]],
        by: float,
    ) -> dict[Place, Raw | None]:
        return dict(zip(places, await read(places, by), strict=True)) if places else {}

    async def _commit_group(
        self, group: TransactionGroup, current: Mapping[Place, Raw | None], by: float, natives: _NativeRequests
    ) -> list[list[Written] | ComandaError] | None:
        """Evaluates a group on the given items, except for `natives`, and writes it.

        Returns None if the items have changed, or a condition of `natives` did not hold.
        """
        outcomes: list[list[Written] | ComandaError] = []
        steps: list[_ItemStep] = []
        for transaction in group.transactions:
            if transaction.journal is not None:
                steps.append(self._journal_step(transaction.tenant, transaction.journal))
            try:
                planned = await self._plan_transaction(transaction, current, by, natives)
            except (Conflict, InvalidParams) as error:
                outcomes.append(error)
                continue
            steps += planned
            outcomes.append([Written(step.old, step.new) for step in planned] if transaction.returns else [])
        needed = any(step.is_change or step.native is not None for step in steps)
        return outcomes if not needed or await self._write_steps(group, steps, by) else None

    def _journal_step(self, tenant: str, journal: Put) -> _ItemStep:
        table = self._tables.get_table(journal.table)
        place = (table.name, *item_keys(table, tenant, journal.item))
        return _ItemStep(place, table, None, Record(journal.item, 1), journal=True)

    async def _plan_transaction(
        self, transaction: Transaction, current: Mapping[Place, Raw | None], by: float, natives: _NativeRequests
    ) -> list[_ItemStep]:
        steps: dict[Place, _ItemStep] = {}
        for action in transaction.actions:
            table, place = find_place(self._tables, transaction, action)
            if place in steps:
                raise InvalidParams(
                    "two actions of a transaction are about one item",
                    hint="put them together, or send two transactions",
                )
            if place in natives:
                steps[place] = _ItemStep(place, table, None, None, native=natives[place])
                continue
            raw = current[place]
            old = live_record(table, raw)
            written = None if raw is None else text_member(raw, WRITE)
            floor = 0 if old is not None else await self._read_floor(table, place, raw, by)
            try:
                new = evaluate_action(action, table, old, floor, transaction.room)
            except Conflict as error:
                error.action = len(steps)
                raise
            steps[place] = _ItemStep(place, table, old, new, written)
        return list(steps.values())

    async def _read_floor(self, table: Table, place: Place, raw: Raw | None, by: float) -> int:
        """Returns the highest version that may have existed at a place without an item.

        DynamoDB removes expired items by itself, so their versions begin at the time in milliseconds instead: no item
        changes more often than that.
        """
        removed = 0 if raw is None else from_value(raw[VERSION])
        if table.expires is not None:
            return max(removed, time.time_ns() // 1_000_000)
        return max(removed, await self._removals.highest_version(table, *place[1:], by))

    async def _write_steps(self, group: TransactionGroup, steps: Sequence[_ItemStep], by: float) -> bool:
        """Writes the steps atomically; returns False if an item has changed since it was read. Raises StoreError."""
        for step in steps:
            if step.new is None and step.old is not None and step.table.expires is None:
                await self._removals.raise_version(step.table, *step.place[1:], step.old.version, by)
        requests = [(step, request) for step in steps for request in self._step_requests(step, group.name)]
        try:
            if len(requests) == 1 and steps[0].native is None:
                await self._dynamo.call("put_item", by=by, **requests[0][1]["Put"])
            else:
                actions = [request for _, request in requests]
                # With one token a repeated request is not done twice, also of a native one that has no condition on
                # the token of the item.
                token = uuid.uuid4().hex
                await self._dynamo.call("transact_write_items", by=by, TransactItems=actions, ClientRequestToken=token)
        except TransactionInvalid:
            if all(step.native is None for step in steps):
                raise
            # The evaluation on the item reports it.
            return False
        except ConditionFailed as failed:
            group.in_doubt = group.in_doubt or failed.in_doubt
            if group.in_doubt:
                return await self._was_done(group, steps, by)
            if any(requests[number][0].journal for number in failed.failed):
                raise StoreError("another server has written this entry of the journal", hint="try again") from None
            return False
        return True

    async def _was_done(self, group: TransactionGroup, steps: Sequence[_ItemStep], by: float) -> bool:
        """Whether a repeated write was refused because the first attempt had succeeded and its reply was lost."""
        changed = [step for step in steps if step.is_change]
        items = await self._read_marked([step.place for step in changed], by)
        written = [None if raw is None else text_member(raw, WRITE) for raw in items]
        if group.name in written:
            return True
        # The state before a native write is not known.
        if all(step.native is None for step in steps) and written == [step.written for step in changed]:
            return False
        raise StoreError(
            "the answer to a write was lost, and others have written since: whether it has taken effect is not known",
            hint="read the item again, and decide anew",
        )

    def _step_requests(self, step: _ItemStep, write: str) -> list[dict[str, Any]]:
        """Returns the requests of a step in a transaction."""
        name, partition, sort = step.place
        table = {"TableName": self._dynamo.settings.prefix + name}
        if step.native is not None:
            return [{kind: {**members, **table} for kind, members in step.native.items()}]
        key = raw_key(step.table, partition, sort)
        # A separate mark is no information about the item itself.
        table |= _unchanged_condition(key, None if step.table.own_key and step.old is None else step.written)
        if not step.is_change:
            return [{"ConditionCheck": {**table, "Key": key}}]
        mark = _mark_of(step.place)[1:]
        marks = {"TableName": self._dynamo.settings.prefix + REMOVALS.name}
        if step.new is None:
            assert step.old is not None
            if step.table.own_key:
                item = removed_item(REMOVALS, *mark, step.old.version, write)
                return [{"Delete": {**table, "Key": key}}, {"Put": {**marks, "Item": item}}]
            return [{"Put": {**table, "Item": removed_item(step.table, partition, sort, step.old.version, write)}}]
        put = {"Put": {**table, "Item": raw_item(step.table, partition, sort, step.new, write)}}
        if step.old is not None or not step.table.own_key:
            return [put]
        mark_key = raw_key(REMOVALS, *mark)
        return [put, {"ConditionCheck": {**marks, "Key": mark_key, **_unchanged_condition(mark_key, step.written)}}]

    # Reading.

    async def get(self, asks: Sequence[ItemLookup], *, room: ReadRoom | None = None) -> list[Record | None]:
        """See `RecordStore.get`."""
        places: list[Place] = []
        for ask in asks:
            table = self._tables.get_table(ask.table)
            check_key(table, ask.key, alone=True)
            places.append((table.name, *item_keys(table, ask.tenant, ask.key)))
        raws = await self._read_items(places, self._dynamo.next_deadline())
        found = [live_record(self._tables[place[0]], raw) for place, raw in zip(places, raws, strict=True)]
        if room is not None:
            for place, record in enumerate(found):
                size = _answer_bytes(record)
                if size > room.left and place:
                    return found[:place]
                room.left -= size
        return found

    async def _read_marked(self, places: Sequence[Place], by: float) -> list[Raw | None]:
        """Returns current items, or the marks of removed ones, in the order of `places`."""
        marks = {place: _mark_of(place) for place in places if self._tables[place[0]].own_key}
        wanted = [*places, *marks.values()]
        found = dict(zip(wanted, await self._read_items(wanted, by), strict=True))
        return [found[place] or found.get(marks.get(place, place)) for place in places]

    async def _read_items(self, places: Sequence[Place], by: float) -> list[Raw | None]:
        """Returns current items, in the order of `places`."""
        unique = list(dict.fromkeys(places))
        if len(unique) == 1:
            found = {unique[0]: await self._read_one(unique[0], by)}
        else:
            parts = [unique[start : start + _BATCH_GET] for start in range(0, len(unique), _BATCH_GET)]
            found = {}
            for part in await asyncio.gather(*(self._read_many(part, by) for part in parts)):
                found |= part
        return [found.get(place) for place in places]

    async def _read_one(self, place: Place, by: float) -> Raw | None:
        name, partition, sort = place
        key = raw_key(self._tables[name], partition, sort)
        table = self._dynamo.settings.prefix + name
        answer = await self._dynamo.call("get_item", by=by, TableName=table, Key=key, ConsistentRead=True)
        item: Raw | None = answer.get("Item")
        return item

    async def _read_many(self, places: Sequence[Place], by: float) -> dict[Place, Raw | None]:
        prefix = self._dynamo.settings.prefix
        wanted: dict[str, Any] = {}
        for name, partition, sort in places:
            keys = wanted.setdefault(prefix + name, {"Keys": [], "ConsistentRead": True})["Keys"]
            keys.append(raw_key(self._tables[name], partition, sort))
        found: dict[Place, Raw | None] = {}
        while wanted:
            answer = await self._dynamo.call("batch_get_item", by=by, RequestItems=wanted)
            for table, items in answer["Responses"].items():
                for item in items:
                    found[table[len(prefix) :], item[PARTITION]["S"], text_member(item, SORT)] = item
            # Requests the unprocessed keys again; a permanent overload ends in an error of the call.
            wanted = answer.get("UnprocessedKeys") or {}
        return found

    async def query(self, query: RecordQuery) -> RecordPage:
        """See `RecordStore.query`. Items with equal keys in an index have no defined order."""
        table = self._tables.get_table(query.table)
        selection = DynamoSelection.of_query(fold_query(table, query), table)
        by = self._dynamo.next_deadline()
        records: list[Record] = []
        after: ItemPosition | None = None
        size = 0
        start = selection.start_key()
        while not selection.is_empty:
            request = selection.query_request(self._dynamo.settings.prefix, query.limit + 1 - len(records), start)
            answer = await self._dynamo.call("query", by=by, **request)
            for item in answer["Items"]:
                if not selection.includes(item):
                    continue
                record = live_record(table, item)
                if record is None:
                    continue
                size += _answer_bytes(record)
                if len(records) == query.limit or (records and size > PAGE_BYTES):
                    return RecordPage(records, after)
                records.append(record)
                after = selection.position_of(item)
            start = answer.get("LastEvaluatedKey")
            if start is None:
                break
        return RecordPage(records, None)

    # The feed.

    async def read_changes(self, after: str | None, *, limit: int = 1000) -> Changes:
        """See `RecordStore.read_changes`. A position has an entry for each shard of each table's stream."""
        return await self._feed.read_changes(after, limit)

    async def newest_position(self) -> str:
        """See `RecordStore.newest_position`."""
        return await self._feed.newest_position()

    async def tidy(self) -> None:
        """See `RecordStore.tidy`. DynamoDB deletes old changes itself."""

    async def close(self) -> None:
        """See `RecordStore.close`. The caller closes the clients."""


def _answer_bytes(record: Record | None) -> int:
    """Returns the approximate size of a record in a reply, including punctuation for each member."""
    return ITEM_BYTES + (0 if record is None else item_bytes(record.item) + 6 * len(record.item))
