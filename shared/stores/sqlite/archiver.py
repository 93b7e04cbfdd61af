"""Moves final orders to compressed files, exactly once, while an intake and its workers are running.

The steps of one file, and the state if the process dies after each of them:

    write FILE.part, sync it    the next run writes the file again
    commit its row in archives  the file has the orders; the next run renames it
    rename it                   the intake deletes the rows after every follower has read their changes

An order is archived if it was received before a given time, is final, and has no idempotency key any more: retries
need the row of an order with a key. Open orders stay and are archived later, in another file.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import StartupError
from shared.domain.orders import FailedAttempt, Order
from shared.runtime.durable_files import PRIVATE, make_private_folder, sync_folder
from shared.runtime.file_lock import FileLock
from shared.stores.archive_format import ArchiveContents, ArchivedOrder, encode_archive
from shared.stores.orders import DONE, STATES
from shared.stores.sqlite.archives import add_archive, archive_name
from shared.stores.sqlite.database import Writer, migrate, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_lister import connect_order_files
from shared.stores.sqlite.rows import JOINED, ORDER_COLUMNS, OrderReader

_FILE_ORDERS = 50_000
# Documents of one file: all of its orders are in memory at once.
_FILE_BYTES = 32 * 2**20
_WINDOW = 50_000
_NODE = "SELECT value FROM main.meta WHERE name = 'node'"
_BOUNDS = "SELECT min(sequence), max(sequence) FROM orders"
_FINAL = f"""
SELECT {ORDER_COLUMNS} FROM {JOINED}
WHERE o.sequence > ? AND o.sequence <= ? AND o.received < ? AND p.state >= {DONE} AND o.request_id IS NULL
ORDER BY o.sequence LIMIT ?"""
_KEPT = f"""
SELECT total(o.received >= ?), total(o.received < ? AND (p.state IS NULL OR p.state < {DONE})),
    total(o.received < ? AND p.state >= {DONE} AND o.request_id IS NOT NULL)
FROM {JOINED} WHERE o.sequence > ? AND o.sequence <= ?"""
_ATTEMPTS = """
SELECT sequence, attempt, finished, detail, place, traceback FROM progress.attempts
WHERE sequence BETWEEN ? AND ? ORDER BY sequence, attempt"""
_ARCHIVED = "SELECT spans FROM progress.archives WHERE removed = 0 AND last > ? AND first <= ?"
_STATES = f"SELECT sequence, state, attempt FROM progress WHERE sequence BETWEEN ? AND ? AND state >= {DONE}"
_UNNAMED = "SELECT file FROM archives WHERE removed = 0"

_encode = msgspec.json.encode


class _ArchivableOrders(NamedTuple):
    """Orders for one file."""

    orders: list[ArchivedOrder]
    after: int
    """The last sequence that was examined."""


class KeptOrders(NamedTuple):
    """Orders that were not archived, by the reason."""

    newer: int
    open: int
    with_request_id: int


class Archiver:
    """Archives the orders of one store. Raises StartupError while another archiver runs, and StoreError."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._lock = FileLock(files.archive_lock)
        if not self._lock.try_acquire():
            raise StartupError(f"orders of {files.orders} are being archived already", hint="wait for its end")
        self._progress_lock = FileLock(files.progress_lock)
        with self._progress_lock:
            self._progress = Writer(files.progress)
            migrate(self._progress.connection, files.progress, "progress")
        self._reading = connect_order_files(files)
        with translate_errors(files.orders):
            self._reader = OrderReader(int(self._reading.execute(_NODE).fetchone()[0]))
        self._give_names()

    @property
    def max_orders(self) -> int:
        """Upper limit of the number of orders. Raises StoreError."""
        first, last = self._read_bounds()
        return last - first + 1

    def _read_bounds(self) -> tuple[int, int]:
        with translate_errors(self._files.orders):
            first, last = self._reading.execute(_BOUNDS).fetchone()
        return first or 1, last or 0

    def archive_before(self, before: int, step: Callable[[int], None]) -> int:
        """Archives all final orders that were received before a time, in microseconds since the epoch.

        Returns their number; calls `step` with the number of orders examined since the last call.
        """
        archived = 0
        first, last = self._read_bounds()
        after = first - 1
        while after < last:
            found = self._find_orders(after, last, before)
            archived += self._archive_orders(found.orders)
            step(found.after - after)
            after = found.after
        return archived

    def count_kept(self, before: int) -> KeptOrders:
        """Counts the orders that are not archived. Raises StoreError."""
        newer = opened = keyed = 0
        first, last = self._read_bounds()
        # In pieces: a reader that takes long would keep the write-ahead log growing.
        for after in range(first - 1, last, _WINDOW):
            with translate_errors(self._files.orders):
                row = self._reading.execute(_KEPT, (before, before, before, after, after + _WINDOW)).fetchone()
            newer, opened, keyed = newer + int(row[0]), opened + int(row[1]), keyed + int(row[2])
        return KeptOrders(newer, opened, keyed)

    def _find_orders(self, after: int, last: int, before: int) -> _ArchivableOrders:
        """Returns orders of one month, from a range of sequences that is short enough to be read at once."""
        stop = min(after + _WINDOW, last)
        with translate_errors(self._files.orders):
            archived = set[int]()
            for (text,) in self._reading.execute(_ARCHIVED, (after, stop)).fetchall():
                for first, count in msgspec.json.decode(text):
                    archived.update(range(max(first, after + 1), min(first + count, stop + 1)))
            rows: list[Any] = []
            room = _FILE_BYTES
            for row in self._reading.execute(_FINAL, (after, stop, before, _FILE_ORDERS)):
                rows.append(row)
                room -= len(row[2])
                if room <= 0:
                    stop = row[0]
                    break
            failed: dict[int, list[FailedAttempt]] = {}
            for sequence, *members in self._reading.execute(_ATTEMPTS, (after + 1, stop)).fetchall():
                failed.setdefault(sequence, []).append(FailedAttempt(*members))
        orders = [
            ArchivedOrder(self._reader.read_order(row), failed.get(row[0], ()))
            for row in rows
            if row[0] not in archived
        ]
        if orders:
            month = _month_of(orders[0].order)
            same = list(takewhile(lambda one: _month_of(one.order) == month, orders))
            if len(same) < len(orders):
                return _ArchivableOrders(same, same[-1].sequence)
        return _ArchivableOrders(orders, stop)

    def _archive_orders(self, orders: list[ArchivedOrder]) -> int:
        if not orders:
            return 0
        first, last = orders[0].sequence, orders[-1].sequence
        data, blocks = encode_archive(orders)
        name = archive_name(first, last, orders[0].order.received)
        part = self._write_part(name, data)
        states = Counter(one.order.state for one in orders)
        contents = ArchiveContents([one.sequence for one in orders], states, blocks, None)
        with self._progress_lock, self._progress.transaction(1) as connection:
            found = connection.execute(_STATES, (first, last)).fetchall()
            now = {sequence: (STATES[state], attempt) for sequence, state, attempt in found}
            unchanged = all(now.get(one.sequence) == (one.order.state, one.order.attempt) for one in orders)
            if unchanged:
                add_archive(connection, name, data, contents)
        if not unchanged:
            # An order was retried or discarded meanwhile; the next run reads its new state.
            part.unlink()
            return 0
        self._give_name(name)
        return len(orders)

    def _write_part(self, name: str, data: bytes) -> Path:
        part = self._part_path(name)
        make_private_folder(part.parent)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for folder in (part.parent, self._files.archive, self._files.archive.parent):
            sync_folder(folder)
        return part

    def _part_path(self, name: str) -> Path:
        path = self._files.archive / name
        return path.with_name(f"{path.name}.part")

    def _give_names(self) -> None:
        """Renames the files that an earlier run has committed, and removes those that it has not."""
        with translate_errors(self._files.progress):
            names = {name for (name,) in self._progress.connection.execute(_UNNAMED).fetchall()}
        for part in self._files.archive.glob("*/*.part"):
            name = str(part.relative_to(self._files.archive)).removesuffix(".part")
            if name in names:
                self._give_name(name)
            else:
                part.unlink()

    def _give_name(self, name: str) -> None:
        path = self._files.archive / name
        self._part_path(name).replace(path)
        sync_folder(path.parent)

    def close(self) -> None:
        """Releases the files."""
        self._reading.close()
        with self._progress_lock:
            self._progress.close()
        for lock in (self._progress_lock, self._lock):
            lock.close()


def _month_of(order: Order) -> tuple[int, int]:
    moment = time.gmtime(order.received // 1_000_000)
    return moment.tm_year, moment.tm_mon
