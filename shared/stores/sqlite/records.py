"""The record store on SQLite: a file that one server owns.

Writes and point reads run in the event loop: one commit for all transactions of a call, and no switch to a thread,
which would cost more than a read. Longer queries and changes are read through aiosqlite.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from shared.domain.errors import ComandaError, Conflict, InvalidParams, StartupError
from shared.domain.records import (
    Item,
    Put,
    Record,
    Table,
    Transaction,
    Written,
    check_key,
    text_bytes,
)
from shared.domain.tables import REMOVALS, Tables
from shared.runtime.clock import read_clock
from shared.runtime.file_lock import FileLock
from shared.stores.evaluation import check_room, evaluate_action, key_of
from shared.stores.keys import (
    ALL,
    bucket_of,
    fold_query,
    item_keys,
    key_text,
    partition_key,
)
from shared.stores.ports.records import (
    ITEM_BYTES,
    KEEP_SECONDS,
    PAGE_BYTES,
    Changes,
    ItemLookup,
    ItemPosition,
    ReadRoom,
    RecordPage,
    RecordQuery,
)
from shared.stores.sqlite.busy_retry import BusyRetry
from shared.stores.sqlite.database import Writer, connect, migrate, never_wait, translate_errors
from shared.stores.sqlite.item_cache import CachedItem, ItemCache, Place
from shared.stores.sqlite.key_migration import expiry_name, fill_expiry, fill_indexes, fold_keys
from shared.stores.sqlite.record_changes import NEWEST, read_changes, skip_changes
from shared.stores.sqlite.selection import SqliteSelection
from shared.stores.sqlite.write_set import TableNumbers, WriteSet, number_tables

_KEPT_CHANGES = """
SELECT c.sequence, n.name, c.partition, c.at, c.old_version, c.old, c.new_version, c.new
FROM changes c JOIN names n ON n.id = c.collection ORDER BY c.sequence"""
_ITEM = "SELECT version, document FROM items WHERE collection = ? AND partition = ? AND sort = ?"
_FLOORS = "SELECT document FROM items WHERE collection = ?"
_ROWS = """
SELECT collection, partition, sort, version, document FROM items
WHERE (collection, partition, sort) > (?, ?, ?) ORDER BY collection, partition, sort LIMIT ?"""
_EXPIRED = """
SELECT item_partition, item_sort FROM entries
WHERE collection = ? AND partition = ? AND sort <= ? ORDER BY sort LIMIT ?"""
CACHE_BYTES = 8 * 2**20
"""Default of the texts of items that stay in memory; with their objects they take about three times as much."""
_TIDY_ROWS = 10_000
# Few enough that requests hardly wait for a removal.
_EXPIRED_AT_ONCE = 100
# Longer pages are read in another thread; for short ones the switch would cost more than the read.
_SHORT_PAGE = 200
_ROWS_AT_ONCE = 64


class _PageBuilder:
    """Builds a page from rows."""

    def __init__(self, limit: int, decode: Callable[[str], Item | None]) -> None:
        self.records: list[Record] = []
        self._limit = limit
        self._decode = decode
        """Returns None for the text of an item that has expired."""
        self._after: ItemPosition | None = None
        self._size = 0

    def add_rows(self, rows: Iterable[Sequence[Any]]) -> RecordPage | None:
        """Adds rows; returns the page when there is a row that does not fit."""
        records, decode = self.records, self._decode
        for version, document, *place in rows:
            if (item := decode(document)) is None:
                continue
            self._size += ITEM_BYTES + text_bytes(document)
            if len(records) == self._limit or (records and self._size > PAGE_BYTES):
                return RecordPage(records, self._after)
            records.append(Record(item, version))
            self._after = ItemPosition(*place)
        return None


def _take_fitting(rows: Iterable[CachedItem | None], room: ReadRoom) -> list[CachedItem | None]:
    """Returns rows while their documents fit, and always the first one."""
    taken: list[CachedItem | None] = []
    left = room.left
    for row in rows:
        size = ITEM_BYTES if row is None else ITEM_BYTES + text_bytes(row.document)
        if size > left and taken:
            break
        left -= size
        taken.append(row)
    room.left = left
    return taken


class SqliteRecordStore:
    """Implements `RecordStore`. `followed` is the number of the last change that followers have read.

    The items that were used last stay in memory, up to `cache_bytes` of their texts. Raises StartupError if another
    server uses the file, and StoreError.
    """

    def __init__(self, path: Path, tables: Tables, *, followed: int = 0, cache_bytes: int = CACHE_BYTES) -> None:
        self._path = path
        self._tables = tables
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        if not self._lock.try_acquire():
            raise StartupError(f"another server is using {path}", hint="stop it, or point DATA_DIR at another folder")
        self._writer = Writer(path)
        self._encode = msgspec.json.Encoder(decimal_format="number").encode
        self._decode = msgspec.json.Decoder(Item, float_hook=Decimal).decode
        migrate(self._writer.connection, path, "records")
        self.gap = skip_changes(self._writer, followed)
        """The changes that followers have read and the file has lost, if any."""
        self._names = self._declare_tables()
        self._tables_by_id = {self._names[name]: table for name, table in tables.items()}
        self._numbers = number_tables(tables, self._names)
        self._cache = ItemCache(cache_bytes)
        fold_keys(self._writer, tables, self._names)
        self._floors = self._read_floors()
        never_wait(self._writer.connection)
        self._writing = BusyRetry()
        self._reader: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    def _declare_tables(self) -> dict[str, int]:
        """Returns the numbers of all tables and indexes; fills new indexes."""
        with self._writer.transaction(1) as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM names")}
            for table in self._tables.values():
                indexes = [f"{table.name}/{index.name}" for index in table.indexes]
                if table.expires is not None:
                    indexes.append(expiry_name(table))
                for name in (table.name, *indexes):
                    connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
            names = dict(connection.execute("SELECT name, id FROM names").fetchall())
            for table in self._tables.values():
                new = [index for index in table.kept_indexes if f"{table.name}/{index.name}" not in known]
                if table.name in known and new:
                    fill_indexes(connection, table, new, names)
                if table.name in known and table.expires is not None and expiry_name(table) not in known:
                    fill_expiry(connection, table, names)
        return names

    def _read_floors(self) -> dict[tuple[str, int], int]:
        with translate_errors(self._path):
            rows = self._writer.connection.execute(_FLOORS, (self._names[REMOVALS.name],)).fetchall()
        floors = [self._decode(document) for (document,) in rows]
        return {(floor["table"], floor["bucket"]): floor["version"] for floor in floors}

    # Writing.

    async def write(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        """See `RecordStore.write`. Blocks for one fsync."""
        return await self._writing.run_write(lambda: self._write_transactions(transactions))

    async def _write_transactions(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        work = WriteSet()
        now = read_clock()
        with self._committing(work, 4 * len(transactions)):
            return [self._plan_transaction(work, transaction, now) for transaction in transactions]

    @contextlib.contextmanager
    def _committing(self, work: WriteSet, rows: int) -> Iterator[None]:
        """Commits what a block adds to `work`, about so many rows."""
        try:
            with self._writer.transaction(rows) as connection:
                yield
                work.store(connection, self._numbers, self._names)
        except BaseException:
            # Whether a failed commit has taken effect can be unknown.
            self._cache.clear()
            raise
        self._floors |= work.floors
        for place, row in work.rows.items():
            if row is None:
                self._cache.forget(place)
            elif place not in work.entries:
                self._cache.keep(place, row)

    def _plan_transaction(self, work: WriteSet, transaction: Transaction, now: int) -> list[Written] | ComandaError:
        if transaction.journal is not None:
            self._append_journal(work, transaction.tenant, transaction.journal)
        planned: dict[Place, tuple[TableNumbers, CachedItem | None, Record | None, Record | None]] = {}
        room = transaction.room
        try:
            for action in transaction.actions:
                check_room(action, room)
                table = self._tables.get_table(action.table)
                place = (table.name, *item_keys(table, transaction.tenant, key_of(action, table)))
                if place in planned:
                    raise InvalidParams(
                        "two actions of a transaction are about one item",
                        hint="put them together, or send two transactions",
                    )
                row = self._find_item(work, place)
                old = None if row is None else row.record
                floor = 0 if old is not None else self._get_floor(work, (table.name, bucket_of(*place[1:])))
                if old is not None and table.has_expired(old.item, now / 1_000_000):
                    # The version of the next item with this key is higher.
                    floor, old = old.version, None
                new = evaluate_action(action, table, old, floor, room)
                planned[place] = (self._numbers[table.name], row, old, new)
        except Conflict as error:
            error.action = len(planned)
            return error
        except InvalidParams as error:
            return error
        for place, (numbers, row, old, new) in planned.items():
            if new is not old:
                if old is None and row is not None:
                    # An expired item: the feed shows its removal first.
                    work.change_item(place, numbers, row, None, now)
                    row = None  # noqa: PLW2901
                work.change_item(place, numbers, row, None if new is None else self._encode_record(new), now)
            if new is None and old is not None:
                self._raise_floor(work, place, old.version)
        return [Written(old, new) for _, _, old, new in planned.values()] if transaction.returns else []

    def _encode_record(self, record: Record) -> CachedItem:
        return CachedItem(record, self._encode(record.item).decode())

    def _get_floor(self, work: WriteSet, bucket: tuple[str, int]) -> int:
        return work.floors.get(bucket) or self._floors.get(bucket, 0)

    def _raise_floor(self, work: WriteSet, place: Place, removed: int) -> None:
        bucket = (place[0], bucket_of(*place[1:]))
        if removed > self._get_floor(work, bucket):
            work.floors[bucket] = removed

    def _append_journal(self, work: WriteSet, tenant: str, journal: Put) -> None:
        """Adds a journal entry; its key is new, so no lookup is needed."""
        table = self._tables.get_table(journal.table)
        place = (table.name, *item_keys(table, tenant, journal.item))
        work.found[place] = None
        work.entries.add(place)
        work.rows[place] = self._encode_record(Record(journal.item, 1))

    def _find_item(self, work: WriteSet, place: Place) -> CachedItem | None:
        if place in work.rows:
            return work.rows[place]
        if place not in work.found:
            work.found[place] = self._load_item(place)
        return work.found[place]

    def _load_item(self, place: Place) -> CachedItem | None:
        """Returns a committed item, from memory if it was used recently."""
        if (kept := self._cache.get(place)) is not None:
            return kept
        name, *keys = place
        row = self._writer.connection.execute(_ITEM, (self._names[name], *keys)).fetchone()
        if row is None:
            return None
        found = CachedItem(Record(self._decode(row[1]), row[0]), row[1])
        self._cache.keep(place, found)
        return found

    # Reading.

    async def get(self, asks: Sequence[ItemLookup], *, room: ReadRoom | None = None) -> list[Record | None]:
        """See `RecordStore.get`. Blocks for some microseconds per item."""
        with translate_errors(self._path):
            rows: Iterable[CachedItem | None] = map(self._read_item, asks)
            if room is not None:
                rows = _take_fitting(rows, room)
            return [None if row is None else row.record for row in rows]

    def _read_item(self, ask: ItemLookup) -> CachedItem | None:
        table = self._tables.get_table(ask.table)
        check_key(table, ask.key, alone=True)
        found = self._load_item((table.name, *item_keys(table, ask.tenant, ask.key)))
        if found is not None and table.expires is not None and table.has_expired(found.record.item, time.time()):
            return None
        return found

    def _live_items(self, table: Table) -> Callable[[str], Item | None]:
        """Returns the function that decodes an item, or returns None if it has expired."""
        if table.expires is None:
            return self._decode
        now, decode = time.time(), self._decode

        def decode_live(document: str) -> Item | None:
            return None if table.has_expired(item := decode(document), now) else item

        return decode_live

    async def query(self, query: RecordQuery) -> RecordPage:
        """See `RecordStore.query`. A page of a `rare` index may be short: it ends after a limited number of items."""
        selection = self._select_items(query)
        filling = _PageBuilder(query.limit, self._live_items(self._tables.get_table(query.table)))
        with translate_errors(self._path):
            if selection.member is None and query.limit <= _SHORT_PAGE:
                with contextlib.closing(self._writer.connection.execute(*selection.select_statement(None))) as short:
                    return filling.add_rows(short) or RecordPage(filling.records, None)
            reader = await self._open_reader()
            window: Sequence[str] | None = None
            if selection.member is not None:
                found = list(await reader.execute_fetchall(*selection.window_statement()))
                window = tuple(found[0]) if found else None
            async with reader.execute(*selection.select_statement(window)) as rows:
                while some := list(await rows.fetchmany(_ROWS_AT_ONCE)):
                    if (page := filling.add_rows(some)) is not None:
                        return page
        return RecordPage(filling.records, None if window is None else ItemPosition(window[1], window[2], window[0]))

    def _select_items(self, query: RecordQuery) -> SqliteSelection:
        table = self._tables.get_table(query.table)
        query = fold_query(table, query)
        items = self._names[table.name]
        if query.index is None:
            return SqliteSelection(query, items, None, partition_key(query.tenant, query.partition), None)
        index = table.get_index(query.index)
        if not index.rare:
            value = ALL if index.partition is None else query.partition
            entries = self._names[f"{table.name}/{index.name}"]
            return SqliteSelection(query, items, entries, partition_key(query.tenant, value), None)
        # Reads the index over all items with the same order, and filters by the member.
        (whole,) = (one for one in table.indexes if one.partition is None and one.sort == index.sort)
        entries = self._names[f"{table.name}/{whole.name}"]
        return SqliteSelection(query, items, entries, partition_key(query.tenant, ALL), index.partition)

    async def _open_reader(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._reader is None:
                self._reader = await aiosqlite.Connection(lambda: connect(self._path, read_only=True), 64)
            return self._reader

    # The feed.

    async def read_changes(self, after: str | None, *, limit: int = 1000) -> Changes:
        """See `RecordStore.read_changes`. A position is the number of a change."""
        with translate_errors(self._path):
            return await read_changes(await self._open_reader(), self._tables_by_id, after, limit)

    async def newest_position(self) -> str:
        """See `RecordStore.newest_position`."""
        with translate_errors(self._path):
            return str(self._writer.connection.execute(NEWEST).fetchone()[0])

    async def tidy(self) -> None:
        """See `RecordStore.tidy`."""
        old = read_clock() - KEEP_SECONDS * 1_000_000
        with translate_errors(self._path):
            last = self._writer.connection.execute(
                "SELECT max(sequence) FROM (SELECT sequence, at FROM changes ORDER BY sequence LIMIT ?) WHERE at < ?",
                (_TIDY_ROWS, old),
            ).fetchone()[0]
        if last is not None:
            with self._writer.transaction(_TIDY_ROWS) as connection:
                connection.execute("DELETE FROM changes WHERE sequence <= ?", (last,))
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', ?)", (last,))
        for table in self._tables.values():
            if table.expires is not None:
                while await self._writing.run_write(partial(self._remove_expired, table)) == _EXPIRED_AT_ONCE:
                    await asyncio.sleep(0)

    async def _remove_expired(self, table: Table) -> int:
        """Removes some expired items of a table; returns how many were due."""
        now = read_clock()
        values = (self._names[expiry_name(table)], ALL, key_text(now // 1_000_000), _EXPIRED_AT_ONCE)
        with translate_errors(self._path):
            due = self._writer.connection.execute(_EXPIRED, values).fetchall()
        if due:
            work = WriteSet()
            with self._committing(work, 4 * len(due)):
                for keys in due:
                    place = (table.name, *keys)
                    row = self._find_item(work, place)
                    assert row is not None
                    work.change_item(place, self._numbers[table.name], row, None, now)
                    self._raise_floor(work, place, row.record.version)
        return len(due)

    # Moving to another store.

    def read_stored(self, after: Place | None, limit: int) -> list[tuple[str, str, str, int, str]]:
        """Returns stored items after a place: table, keys, version and document. Raises StoreError."""
        name, *keys = after or ("", "", "")
        names = {number: name for name, number in self._names.items()}
        with translate_errors(self._path):
            rows = self._writer.connection.execute(_ROWS, (self._names.get(name, 0), *keys, limit)).fetchall()
        return [(names[collection], *rest) for collection, *rest in rows]

    def load_items(self, items: Sequence[tuple[Place, Record]]) -> None:
        """Stores items without entries in the feed. Raises StoreError."""
        work = WriteSet()
        with self._committing(work, 4 * len(items)):
            for place, record in items:
                self._find_item(work, place)
                work.rows[place] = self._encode_record(record)

    def kept_changes(self) -> tuple[int, int, Iterator[tuple[Any, ...]]]:
        """Returns the number of the newest change, that of the last deleted one, and the kept changes.

        A change has number, table, partition, time, and version and document before and after it.
        """
        connection = self._writer.connection
        with translate_errors(self._path):
            newest = connection.execute(NEWEST).fetchone()[0]
            forgotten = connection.execute("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'forgotten'")
            return newest, forgotten.fetchone()[0], iter(connection.execute(_KEPT_CHANGES))

    def load_changes(self, changes: Iterable[Sequence[Any]], newest: int, forgotten: int) -> None:
        """Replaces the feed with changes of another store. Raises StoreError."""
        rows = [(number, self._names[table], *rest) for number, table, *rest in changes]
        with self._writer.transaction(len(rows)) as connection:
            connection.execute("DELETE FROM changes")
            connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'changes'")
            connection.execute("INSERT INTO sqlite_sequence VALUES ('changes', ?)", (newest,))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', ?)", (forgotten,))

    async def close(self) -> None:
        """See `RecordStore.close`."""
        if self._reader is not None:
            await self._reader.close()
        self._writer.close()
        self._lock.close()
