"""The order store of the intake on SQLite.

Accepting runs in the event loop: one commit for all orders of a turn. Reading one order is a point read and runs
there too. Writes to `progress`, which may wait for the workers' lock, run in one separate thread; lists, which may
read many rows, in another.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.domain.errors import NotFound, StartupError, StoreError
from shared.domain.ids import OrderRange, id_prefix, new_node, parse_id
from shared.domain.orders import FailedAttempt, Order, OrderRequest, Priority, due_time
from shared.domain.states import State
from shared.runtime.clock import read_clock
from shared.runtime.file_lock import FileLock
from shared.stores.archive_format import ArchivedOrder
from shared.stores.orders import (
    STATES,
    group_open,
    request_key,
    same_order,
)
from shared.stores.outbox import OutboxEntry, detailed_spans
from shared.stores.ports.orders import (
    Acceptance,
    Adoption,
    Cancellation,
    ExistingOrder,
    OpenRange,
    OrderBatch,
    OrderListQuery,
    OrderPage,
    Recovery,
    Rescue,
    Ticket,
)
from shared.stores.sqlite.archives import find_archived
from shared.stores.sqlite.busy_retry import BusyRetry
from shared.stores.sqlite.database import Writer, migrate, never_wait, translate_errors
from shared.stores.sqlite.disk_reserve import DiskReserve
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.open_orders import OpenOrderTracker
from shared.stores.sqlite.order_changes import OrderChanges
from shared.stores.sqlite.order_lister import SqliteOrderLister, connect_order_files
from shared.stores.sqlite.order_positions import saved_positions
from shared.stores.sqlite.outbox import add_entry
from shared.stores.sqlite.repair import reconcile_files
from shared.stores.sqlite.request_keys import RequestKeys
from shared.stores.sqlite.rows import JOINED, ORDER_COLUMNS, OrderReader
from shared.stores.sqlite.upkeep import Upkeep

T = TypeVar("T")

_ACCEPT_PLAIN = "INSERT INTO orders (sequence, received, document) VALUES (?, ?, ?)"
# The driver takes longer to bind one None than to insert the row: an empty text and a zero stand for NULL.
_ACCEPT = """
INSERT INTO orders (sequence, received, document, request_id, priority, due)
VALUES (?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, 0))
ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING"""
_BY_REQUEST_ID = "SELECT sequence, received, document FROM orders WHERE request_id = ?"
_ORDER = f"SELECT {ORDER_COLUMNS} FROM {JOINED} WHERE o.sequence = ?"
_ATTEMPTS = """
SELECT attempt, finished, detail, place, traceback FROM progress.attempts WHERE sequence = ? ORDER BY attempt"""


class _KeyTaken(Exception):
    """An order of the batch has an idempotency key that is already used."""


class SqliteOrderStore:
    """Implements `OrderStore` for the intake that owns the files.

    It accepts no orders while less than `disk_reserve` bytes of the disk are free, since finishing an order needs space
    too.

    `followers` are the files of the followers of the orders, which may refer to orders that these files have lost.
    Outbox entries that they have not read are kept for `outbox_days`. Recovery waits up to `old_workers_seconds` for
    the workers of a previous intake.

    Raises StartupError if another intake owns the files or their schema is newer, and StoreError if they cannot be
    opened.
    """

    def __init__(
        self,
        files: StoreFiles,
        *,
        disk_reserve: int = 0,
        followers: Sequence[Path] = (),
        request_id_seconds: float = 0,
        outbox_days: float = 7.0,
        old_workers_seconds: float = 10.0,
    ) -> None:
        self._disk_reserve = DiskReserve(files.orders.parent, disk_reserve)
        self._followers = followers
        self._old_workers_seconds = old_workers_seconds
        self._owner_lock = FileLock(files.owner_lock)
        if not self._owner_lock.try_acquire():
            raise StartupError(
                f"another intake is using {files.orders}", hint="stop it, or point DATA_DIR at another folder"
            )
        self._orders = Writer(files.orders)
        self._keys = RequestKeys(self._orders, request_id_seconds)
        migrate(self._orders.connection, files.orders, "orders")
        self._workers_lock = FileLock(files.workers_lock)
        self._progress_lock = FileLock(files.progress_lock)
        with self._progress_lock:
            self._progress = Writer(files.progress)
            migrate(self._progress.connection, files.progress, "progress")
        self._files = files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._accepting, self._progressing = BusyRetry(), BusyRetry()
        self._reading = connect_order_files(files)
        with translate_errors(files.orders):
            connection = self._orders.connection
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('node', ?)", (new_node(),))
            self._node: int = connection.execute("SELECT value FROM meta WHERE name = 'node'").fetchone()[0]
            self._next = self._read_number("SELECT coalesce(max(sequence), 0) + 1 FROM orders")
        self._open = OpenOrderTracker(files, self._progress, self._progress_lock)
        self._changes = OrderChanges(files, self._node, self._progress, self._progress_lock, self._open)
        self._upkeep = Upkeep(self._progress, self._progress_lock, files.archive, followers, outbox_days=outbox_days)
        self._reader = OrderReader(self._node)
        self._lister = SqliteOrderLister(files, self._reader)
        self._decode = msgspec.json.Decoder(OrderRequest).decode

    def _read_number(self, statement: str) -> int:
        return int(self._reading.execute(statement).fetchone()[0])

    async def recover(self) -> Recovery:
        """See `OrderStore.recover`. Waits up to `old_workers_seconds` for the workers of a previous intake to end."""
        if not self._workers_lock.try_acquire(seconds=self._old_workers_seconds):
            raise StartupError(
                f"workers of a former run still use {self._files.progress}",
                hint="end the processes named comanda-worker, then start again",
            )
        self._workers_lock.release()
        followers = [position for path in self._followers for position in saved_positions(path)]
        with self._progress_lock, translate_errors(self._files.orders):
            agreed = reconcile_files(self._orders, self._progress, self._files.archive, followers)
        self._next = agreed.next
        self._open.set_watermark(agreed.settled)
        with self._progress_lock, self._progress.transaction(0) as connection:
            requeued = self._open.requeue_running(connection)
            add_entry(
                connection,
                OutboxEntry(requeued=detailed_spans((one, None) for one in requeued)),
                read_clock(),
            )
        with translate_errors(self._files.orders):
            open_orders = group_open(self._open.read_waiting(self._reading), self._node)
            rows = self._reading.execute("SELECT state, orders FROM progress.totals").fetchall()
        for connection in (self._orders.connection, self._progress.connection, self._reading):
            never_wait(connection)
        newest = self._read_number("SELECT coalesce((SELECT received FROM orders ORDER BY sequence DESC LIMIT 1), 0)")
        self._keys.check_clock(newest, read_clock())
        totals = {STATES[state]: orders for state, orders in rows}
        return Recovery(open_orders, totals, agreed.accepted, agreed.repair, agreed.repairs, newest)

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        """See `OrderStore.accept`. Blocks for one fsync."""
        self._disk_reserve.check_free_space()
        return await self._accepting.run_write(lambda: self._accept_batch(batch, received, room))

    async def _accept_batch(self, batch: OrderBatch, received: int, room: int) -> Acceptance:
        self._keys.latest = received
        if batch.plain:
            size = min(len(batch.requests), room)
            if size:
                with self._orders.transaction(size) as connection:
                    rows = zip(count(self._next), repeat(received, size), batch.documents, strict=False)
                    connection.executemany(_ACCEPT_PLAIN, rows)
            return self._assign_sequences(received, range(size), {})
        # Retries are rare: store the batch as if there were none, and look for them only if a key is used.
        # If there is no room for all, retries still get a reply and only new orders are refused.
        everything = range(len(batch.requests))
        if len(everything) <= room and self._store_new(batch, received, everything):
            return self._assign_sequences(received, everything, {})
        existing, new, expired = self._look_up(batch, received, room)
        self._store_new(batch, received, new, expired)
        return self._assign_sequences(received, new, existing)

    def _store_new(self, batch: OrderBatch, received: int, new: Sequence[int], expired: Sequence[int] = ()) -> bool:
        """Stores the requests `new` of a batch; stores nothing and returns False if one of their keys is used.

        Orders in `expired` (sequences) lose their keys.
        """
        if not new:
            return True
        try:
            with self._orders.transaction(len(new)) as connection:
                if expired:
                    self._keys.free_keys(connection, expired)
                if connection.executemany(_ACCEPT, self._order_rows(batch, received, new)).rowcount < len(new):
                    raise _KeyTaken
        except _KeyTaken:
            return False
        return True

    def _assign_sequences(self, received: int, new: Sequence[int], existing: dict[int, ExistingOrder]) -> Acceptance:
        order_range = OrderRange(received, self._node, self._next, len(new))
        self._next += len(new)
        return Acceptance(order_range, new, existing)

    def _look_up(
        self, batch: OrderBatch, received: int, room: int
    ) -> tuple[dict[int, ExistingOrder], list[int], list[int]]:
        """Returns existing orders by index, indexes of new orders, and sequences of orders whose keys are reused."""
        existing: dict[int, ExistingOrder] = {}
        expired: list[int] = []
        new: list[int] = []
        in_batch: dict[str, int] = {}
        prefix = id_prefix(received, self._node)
        for index, request in enumerate(batch.requests):
            if (key := request_key(request)) is not None:
                if (place := in_batch.get(key)) is not None:
                    same = same_order(batch.requests[new[place]], request)
                    existing[index] = ExistingOrder(f"{prefix}{self._next + place:012x}", State.QUEUED, same)
                    continue
                found = self._find_existing(key, request, received)
                if isinstance(found, ExistingOrder):
                    existing[index] = found
                    continue
                if len(new) < room:
                    in_batch[key] = len(new)
                    if found is not None:
                        expired.append(found)
            if len(new) < room:
                new.append(index)
        return existing, new, expired

    def _find_existing(self, key: str, request: OrderRequest, now: int) -> ExistingOrder | int | None:
        """Returns the order with a key; if the key has expired, only the sequence of that order."""
        with translate_errors(self._files.orders):
            row = self._reading.execute(_BY_REQUEST_ID, (key,)).fetchone()
        if row is None:
            return None
        sequence, received, document = row
        if self._keys.is_expired(received, now):
            return int(sequence)
        order = self._read_order(sequence)
        assert order is not None
        order_id = f"{id_prefix(received, self._node)}{sequence:012x}"
        return ExistingOrder(order_id, order.state, same_order(self._decode(document), request))

    def _order_rows(self, batch: OrderBatch, received: int, new: Sequence[int]) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for sequence, index in zip(count(self._next), new, strict=False):
            request = batch.requests[index]
            key = request_key(request) or ""
            level = "" if request.priority is Priority.NORMAL else request.priority.value
            rows.append((sequence, received, batch.documents[index], key, level, due_time(request) or 0))
        return rows

    async def get(self, order_id: str) -> Order | None:
        """See `OrderStore.get`."""
        sequence = self._sequence_of(order_id)
        order = self._read_order(sequence)
        if order is None and (archived := await self._read_archived(sequence)) is not None:
            order = archived.order
        return None if order is None or order.id != order_id.lower() else order

    async def attempts(self, order_id: str) -> list[FailedAttempt]:
        """See `OrderStore.attempts`."""
        sequence = self._sequence_of(order_id)
        if self._read_order(sequence) is None and (archived := await self._read_archived(sequence)) is not None:
            return list(archived.failed)
        with translate_errors(self._files.progress):
            rows = self._reading.execute(_ATTEMPTS, (sequence,)).fetchall()
        return [FailedAttempt(*row) for row in rows]

    async def _read_archived(self, sequence: int) -> ArchivedOrder | None:
        if not 0 < sequence < self._next:
            return None

        def read_archive() -> ArchivedOrder | None:
            with translate_errors(self._files.progress):
                return find_archived(self._progress.connection, self._files.archive, sequence)

        return await self._in_thread(read_archive)

    def _read_order(self, sequence: int) -> Order | None:
        with translate_errors(self._files.orders):
            row = self._reading.execute(_ORDER, (sequence,)).fetchone()
        return None if row is None else self._reader.read_order(row)

    def _sequence_of(self, order_id: str) -> int:
        """Returns the sequence in an id; 0, which no order has, for an id of another store."""
        parsed = parse_id(order_id)
        return parsed[2] if parsed is not None and parsed[1] == self._node else 0

    async def list(self, query: OrderListQuery) -> OrderPage:
        """See `OrderStore.list`."""
        return await self._lister.list_orders(query)

    async def cancel(self, order_id: str) -> Cancellation | State:
        """See `OrderStore.cancel`."""
        order = await self._require_order(order_id)
        sequence = self._sequence_of(order_id)

        if order.state in (State.QUEUED, State.FAILED):
            cancelled = await self._in_thread(lambda: self._changes.cancel_order(sequence))
            if cancelled is not None:
                return cancelled
        return (await self._require_order(order_id)).state

    async def retry(self, order_id: str) -> OpenRange | State:
        """See `OrderStore.retry`."""
        order = await self._require_order(order_id)
        sequence = self._sequence_of(order_id)

        if order.state is State.FAILED and await self._in_thread(lambda: self._changes.retry_order(sequence)):
            order_range = OrderRange(order.received, self._node, sequence, 1)
            return OpenRange(order_range, order.attempt, order.request.priority, None)
        return (await self._require_order(order_id)).state

    async def _require_order(self, order_id: str) -> Order:
        order = await self.get(order_id)
        if order is None:
            raise NotFound(f"there is no order {order_id}", field="id", hint="ids come with the answer to an order")
        return order

    async def rescue(self, tickets: Sequence[Ticket], *, poison: int) -> Rescue:
        """See `OrderStore.rescue`."""
        return await self._in_thread(lambda: self._changes.rescue_orders(tickets, poison))

    async def send_heartbeat(self) -> None:
        """See `OrderStore.send_heartbeat`. No other server shares the files."""

    async def adopt_orphans(self) -> Adoption:
        """See `OrderStore.adopt_orphans`. Frees keys that have expired."""

        async def free_slice() -> float | None:
            return self._keys.free_slice()

        while (pause := await self._accepting.run_write(free_slice)) is not None:
            await asyncio.sleep(pause)
        return Adoption([], [], [], [])

    async def advance_watermark(self) -> None:
        """Advances the watermark, so that the next start only reads later orders and stragglers."""
        await self._in_thread(self._open.advance_watermark)

    async def tidy(self) -> bool:
        """See `OrderStore.tidy`."""
        upkeep = self._upkeep
        more = await self._in_thread(upkeep.trim_outbox)
        if await self._in_thread(upkeep.find_archived):
            if not await upkeep.remove_archived(self._orders, self._accepting):
                await self._in_thread(upkeep.remove_progress)
            return True
        return more

    async def _in_thread(self, write: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await self._progressing.run_write(lambda: loop.run_in_executor(self._thread, write))

    async def close(self) -> None:
        """See `OrderStore.close`."""
        with contextlib.suppress(StoreError):
            # The watermark only makes the next start faster.
            await self.advance_watermark()
        self._thread.shutdown()
        await self._lister.close()
        self._reading.close()
        with self._progress_lock:
            self._progress.close()
        self._orders.close()
        for lock in (self._progress_lock, self._workers_lock, self._owner_lock):
            lock.close()
