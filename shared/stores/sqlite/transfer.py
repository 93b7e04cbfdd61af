"""Everything of the files of one machine, given to another store or taken from one."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.errors import StartupError
from shared.domain.orders import FailedAttempt, OrderRequest, Priority, due_time
from shared.domain.records import Item, Record
from shared.domain.tables import CHAINS, SECRETS
from shared.runtime.file_lock import FileLock
from shared.stores.orders import CANCELLED, DONE, FAILED, NOTHING, OrderProgress, request_key
from shared.stores.ports.transfer import ItemPlace, TransferredItem, TransferredOrder
from shared.stores.sqlite.database import Writer, migrate, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.records import SqliteRecordStore

_GIVE = """
SELECT o.sequence, o.received, o.document, p.state, p.attempt, p.worker, p.stored, p.queued, p.started, p.failures,
    p.rescues, p.detail, p.due, p.finished
FROM orders o LEFT JOIN progress.progress p ON p.sequence = o.sequence
WHERE o.sequence > ? ORDER BY o.sequence LIMIT ?"""
_FREE_KEY = "UPDATE orders SET request_id = NULL WHERE request_id = ?"
_TAKE = """
INSERT OR REPLACE INTO orders (sequence, received, document, request_id, priority, due) VALUES (?, ?, ?, ?, ?, ?)"""
_TAKE_PROGRESS = """
INSERT OR REPLACE INTO progress (sequence, state, attempt, worker, stored, queued, started, failures, rescues, detail,
    due, finished)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_GIVE_ATTEMPTS = """
SELECT sequence, attempt, finished, detail, place, traceback FROM progress.attempts
WHERE sequence BETWEEN ? AND ? ORDER BY sequence, attempt"""
_TAKE_ATTEMPT = "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?)"
_LAST_GIVEN = """
SELECT max((SELECT coalesce(max(sequence), 0) FROM orders), coalesce(max(value), 0))
FROM main.meta WHERE name = 'floor'"""
_COUNT = "UPDATE totals SET orders = (SELECT count(*) FROM progress WHERE state = ?) WHERE state = ?"


class SqliteOrderTransfer:
    """Implements `OrderTransfer`. Raises StartupError when an intake is using the files, and StoreError."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._lock = FileLock(files.owner_lock)
        if not self._lock.try_acquire():
            raise StartupError(f"an intake is using {files.orders}", hint="stop it first")
        self._orders = Writer(files.orders)
        migrate(self._orders.connection, files.orders, "orders")
        self._progress = Writer(files.progress)
        migrate(self._progress.connection, files.progress, "progress")
        with translate_errors(files.orders):
            self._orders.connection.execute("ATTACH DATABASE ? AS progress", (str(files.progress),))
        self._decode = msgspec.json.Decoder(OrderRequest).decode

    async def read_node(self) -> int | None:
        """See `OrderTransfer.read_node`."""
        with translate_errors(self._files.orders):
            if self._orders.connection.execute("SELECT 1 FROM orders LIMIT 1").fetchone() is None:
                return None
            row = self._orders.connection.execute("SELECT value FROM main.meta WHERE name = 'node'").fetchone()
        return None if row is None else int(row[0])

    async def read_orders(self, after: int, limit: int) -> list[TransferredOrder]:
        """See `OrderTransfer.read_orders`."""
        with translate_errors(self._files.orders):
            rows = self._orders.connection.execute(_GIVE, (after, limit)).fetchall()
            last = rows[-1][0] if rows else after
            failed = self._orders.connection.execute(_GIVE_ATTEMPTS, (after + 1, last)).fetchall()
        attempts: dict[int, list[FailedAttempt]] = {}
        for sequence, *members in failed:
            attempts.setdefault(sequence, []).append(FailedAttempt(*members))
        return [
            TransferredOrder(
                sequence,
                received,
                document,
                NOTHING if row[0] is None else OrderProgress(*row),
                attempts.get(sequence, ()),
            )
            for sequence, received, document, *row in rows
        ]

    async def write_orders(self, orders: Sequence[TransferredOrder]) -> None:
        """See `OrderTransfer.write_orders`."""
        rows: list[tuple[Any, ...]] = []
        # A reused key belongs to the newest of its orders.
        keyed: dict[str, int] = {}
        for order in orders:
            request = self._decode(order.document)
            key = request_key(request)
            if key is not None and key in keyed:
                rows[keyed[key]] = (*rows[keyed[key]][:3], None, *rows[keyed[key]][4:])
            if key is not None:
                keyed[key] = len(rows)
            level = None if request.priority is Priority.NORMAL else request.priority.value
            rows.append((order.sequence, order.received, order.document, key, level, due_time(request)))
        with self._orders.transaction(len(rows)) as connection:
            connection.executemany(_FREE_KEY, [(key,) for key in keyed])
            connection.executemany(_TAKE, rows)
        touched = [(order.sequence, *msgspec.structs.astuple(order.row)) for order in orders if order.row != NOTHING]
        with self._progress.transaction(len(touched)) as connection:
            connection.executemany(_TAKE_PROGRESS, touched)
            failed = [(order.sequence, *msgspec.structs.astuple(one)) for order in orders for one in order.attempts]
            connection.executemany(_TAKE_ATTEMPT, failed)

    async def last_given(self) -> int:
        """See `OrderTransfer.last_given`."""
        with translate_errors(self._files.orders):
            row = self._orders.connection.execute(_LAST_GIVEN).fetchone()
        return int(row[0])

    async def finish_transfer(self, node: int, last: int) -> None:
        """See `OrderTransfer.finish_transfer`."""
        with self._orders.transaction(3) as connection:
            # The sequences of other stores can have gaps.
            missing = last - connection.execute("SELECT count(*) FROM orders").fetchone()[0]
            values = [("node", node), ("floor", last), ("missing", missing)]
            connection.executemany("INSERT OR REPLACE INTO main.meta VALUES (?, ?)", values)
        with self._progress.transaction(1) as connection:
            connection.executemany(_COUNT, [(state, state) for state in (DONE, FAILED, CANCELLED)])
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('node', ?)", (node,))

    def close(self) -> None:
        """Releases the files."""
        self._progress.close()
        self._orders.close()
        self._lock.close()


class SqliteItemTransfer:
    """Implements `ItemTransfer` on a store that no other process has open."""

    def __init__(self, store: SqliteRecordStore) -> None:
        self._store = store
        self._decode = msgspec.json.Decoder(Item, float_hook=Decimal).decode

    async def is_empty(self) -> bool:
        """See `ItemTransfer.is_empty`."""
        items, _ = await self.read_items(None, 1000)
        return all(item.table in (SECRETS.name, CHAINS.name) for item in items)

    async def read_items(self, after: ItemPlace | None, limit: int) -> tuple[list[TransferredItem], ItemPlace | None]:
        """See `ItemTransfer.read_items`."""
        found = self._store.read_stored(after, limit)
        items = [
            TransferredItem(table, partition, sort, Record(self._decode(document), version))
            for table, partition, sort, version, document in found
        ]
        last = items[-1][:3] if len(items) == limit else None
        return items, last

    async def write_items(self, items: Sequence[TransferredItem]) -> None:
        """See `ItemTransfer.write_items`."""
        self._store.load_items([((item.table, item.partition, item.sort), item.record) for item in items])
