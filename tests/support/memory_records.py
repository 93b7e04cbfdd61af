"""A fake of the records' database: the ports of the server and of followers, on plain dictionaries.

It passes the same contract suite as SQLite and DynamoDB (tests/contract). It keeps nothing beyond the process, so no
server can be configured with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from shared.domain.errors import ComandaError, Conflict, Gone, InvalidParams, StoreError
from shared.domain.records import Item, Record, Table, Transaction, Written, check_key, text_bytes
from shared.domain.tables import Tables
from shared.stores.evaluation import evaluate_action, key_of
from shared.stores.keys import (
    ALL,
    bucket_of,
    fold_query,
    index_keys,
    item_keys,
    key_text,
    partition_key,
    tenant_of,
)
from shared.stores.ports.records import (
    ITEM_BYTES,
    PAGE_BYTES,
    Change,
    Changes,
    ItemLookup,
    ItemPosition,
    ReadRoom,
    RecordPage,
    RecordQuery,
)

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(Item, float_hook=Decimal).decode

Place = tuple[str, str, str]
"""The table, the partition and the sort key of an item."""


class Row(NamedTuple):
    """An item as text, so that nobody who was given it can change it, and its version."""

    version: int
    document: str

    @property
    def record(self) -> Record:
        """The item."""
        return Record(_decode(self.document), self.version)


class _Entry(NamedTuple):
    """A change of an item in the feed."""

    place: Place
    at: int
    old: Row | None
    new: Row | None


class MemoryRecords:
    """The database that the adapters below share: it outlives each of them, as a file does."""

    def __init__(self) -> None:
        self.rows: dict[Place, Row] = {}
        self.floors: dict[tuple[str, int], int] = {}
        """The highest version that was removed, by table and bucket of keys."""
        self.feed: list[_Entry] = []
        self.forgotten = 0
        """How many of the oldest changes are not given any more."""
        self.failing: StoreError | None = None
        """What every call raises while a test has the database refuse."""
        self.failing_feed: StoreError | None = None
        """What reading changes raises."""
        self.seconds = 0.0
        """How long each call takes."""

    async def begin(self) -> None:
        """Takes the time that the test wants, and raises what it wants."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.failing is not None:
            raise self.failing

    def read_changes(self, tables: Iterable[str], position: int, limit: int) -> Changes:
        """Returns changes of some tables behind a position, which is their number."""
        if self.failing_feed is not None:
            raise self.failing_feed
        if position < self.forgotten:
            raise Gone("the changes behind this position are older than a day", hint="read the tables anew")
        if position > len(self.feed):
            raise InvalidParams("after lies in the future", field="after")
        followed = set(tables)
        changes: list[Change] = []
        size = 0
        for place, at, old, new in self.feed[position : position + limit]:
            size += 2 * ITEM_BYTES + sum(text_bytes(row.document) for row in (old, new) if row is not None)
            if changes and size > PAGE_BYTES:
                break
            position += 1
            if place[0] in followed:
                before, behind = (None if row is None else row.record for row in (old, new))
                changes.append(Change(place[0], tenant_of(place[1]), before, behind, at))
        return Changes(changes, str(position))


class MemoryRecordStore:
    """Implements `RecordStore` over a database."""

    def __init__(self, database: MemoryRecords, tables: Tables) -> None:
        self._database = database
        self._tables = tables

    async def write(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        """See `RecordStore.write`."""
        await self._database.begin()
        return [self._transact(transaction, time.time_ns() // 1000) for transaction in transactions]

    def _transact(self, transaction: Transaction, now: int) -> list[Written] | ComandaError:
        rows, floors = self._database.rows, self._database.floors
        if (journal := transaction.journal) is not None:
            table = self._tables.get_table(journal.table)
            self._store((table.name, *item_keys(table, transaction.tenant, journal.item)), Record(journal.item, 1), now)
        planned: dict[Place, Written] = {}
        try:
            for action in transaction.actions:
                table = self._tables.get_table(action.table)
                place = (table.name, *item_keys(table, transaction.tenant, key_of(action, table)))
                if place in planned:
                    raise InvalidParams("two actions of a transaction are about one item")
                old = rows[place].record if place in rows else None
                floor = 0 if old is not None else floors.get((table.name, bucket_of(*place[1:])), 0)
                if old is not None and table.has_expired(old.item, now / 1_000_000):
                    floor, old = old.version, None
                planned[place] = Written(old, evaluate_action(action, table, old, floor, transaction.room))
        except Conflict as error:
            error.action = len(planned)
            return error
        except InvalidParams as error:
            return error
        for place, written in planned.items():
            if written.new is not written.old:
                if written.old is None and place in rows:
                    # An expired item: the feed shows its removal first.
                    self._store(place, None, now)
                self._store(place, written.new, now)
            if written.new is None and written.old is not None:
                bucket = (place[0], bucket_of(*place[1:]))
                floors[bucket] = max(floors.get(bucket, 0), written.old.version)
        return list(planned.values()) if transaction.returns else []

    def _store(self, place: Place, record: Record | None, now: int) -> None:
        old = self._database.rows.pop(place, None)
        new = None if record is None else Row(record.version, _encode(record.item).decode())
        if new is not None:
            self._database.rows[place] = new
        if self._tables[place[0]].feed:
            self._database.feed.append(_Entry(place, now, old, new))

    async def get(self, asks: Sequence[ItemLookup], *, room: ReadRoom | None = None) -> list[Record | None]:
        """See `RecordStore.get`."""
        await self._database.begin()
        found: list[Record | None] = []
        for ask in asks:
            table = self._tables.get_table(ask.table)
            check_key(table, ask.key, alone=True)
            row = self._database.rows.get((table.name, *item_keys(table, ask.tenant, ask.key)))
            if row is not None and table.has_expired(row.record.item, time.time()):
                row = None
            if room is not None:
                size = ITEM_BYTES + (0 if row is None else text_bytes(row.document))
                if size > room.left and found:
                    break
                room.left -= size
            found.append(None if row is None else row.record)
        return found

    async def query(self, query: RecordQuery) -> RecordPage:
        """See `RecordStore.query`."""
        await self._database.begin()
        table = self._tables.get_table(query.table)
        query = fold_query(table, query)
        if query.index is not None:
            table.get_index(query.index)
        found = sorted(
            (order, row)
            for place, row in self._database.rows.items()
            if (order := _order_of(table, query, place, row)) and not table.has_expired(row.record.item, time.time())
        )
        if query.descending:
            found.reverse()
        records: list[Record] = []
        position: ItemPosition | None = None
        size = 0
        for order, row in found:
            after = query.after
            if after is not None:
                last = (after.index_sort if query.index else after.sort, after.partition, after.sort)
                if order <= last if not query.descending else order >= last:
                    continue
            size += ITEM_BYTES + text_bytes(row.document)
            if len(records) == query.limit or (records and size > PAGE_BYTES):
                return RecordPage(records, position)
            records.append(row.record)
            position = ItemPosition(order[1], order[2], order[0])
        return RecordPage(records, None)

    async def read_changes(self, after: str | None, *, limit: int = 1000) -> Changes:
        """See `RecordStore.read_changes`."""
        await self._database.begin()
        if after is not None and not (after.isascii() and after.isdigit()):
            raise InvalidParams("after is not a position", field="after", hint="take the one of an earlier answer")
        position = self._database.forgotten if after is None else int(after)
        return self._database.read_changes(self._tables, position, limit)

    async def newest_position(self) -> str:
        """See `RecordStore.newest_position`."""
        return str(len(self._database.feed))

    async def tidy(self) -> None:
        """See `RecordStore.tidy`."""
        now = time.time_ns() // 1000
        for place, row in list(self._database.rows.items()):
            if self._tables[place[0]].has_expired(row.record.item, now / 1_000_000):
                self._store(place, None, now)
                bucket = (place[0], bucket_of(*place[1:]))
                self._database.floors[bucket] = max(self._database.floors.get(bucket, 0), row.version)

    async def close(self) -> None:
        """See `RecordStore.close`."""


def _order_of(table: Table, query: RecordQuery, place: Place, row: Row) -> tuple[str, str, str] | None:
    """Returns where an item stands in a query's order, and then its keys; None where it is not in it."""
    name, partition, sort = place
    if name != table.name or tenant_of(partition) != query.tenant:
        return None
    wanted = partition_key(query.tenant, ALL if query.index and query.partition is None else query.partition)
    if query.index is None:
        found: tuple[str, str] | None = (partition, sort)
    else:
        found = index_keys(table, table.get_index(query.index), query.tenant, row.record.item)
    if found is None or found[0] != wanted:
        return None
    ordered = found[1]
    if query.prefix and not ordered.startswith(query.prefix):
        return None
    if query.low is not None and ordered < key_text(query.low):
        return None
    if query.high is not None and ordered > key_text(query.high):
        return None
    return ordered, partition, sort


class MemoryRecordFeed:
    """Implements `RecordFeed` over some tables of a database; None is one that is not there yet."""

    def __init__(self, database: MemoryRecords | None, tables: Sequence[Table]) -> None:
        self.database = database
        self._tables = {table.name: table for table in tables}

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        """See `RecordFeed.read_changes`."""
        if self.database is None:
            return None
        await self.database.begin()
        try:
            return self.database.read_changes(self._tables, int(after or 0), limit)
        except InvalidParams as error:
            raise Gone("the position is not one of this store") from error

    async def newest_position(self) -> str:
        """See `RecordFeed.newest_position`."""
        if self.database is None:
            raise StoreError("the records are not there")
        return str(len(self.database.feed))

    async def read_items(self, table: Table) -> AsyncIterator[list[Record]]:
        """See `RecordFeed.read_items`."""
        if self.database is not None:
            rows = [row.record for place, row in sorted(self.database.rows.items()) if place[0] == table.name]
            if rows:
                yield rows

    async def close(self) -> None:
        """See `RecordFeed.close`."""
