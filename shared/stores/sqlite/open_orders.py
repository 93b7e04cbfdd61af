"""Finds the open orders at a start without reading the final ones.

All orders up to the watermark (`settled`) are final, except for stragglers, which are listed in a separate table.
Without stragglers, one order that is delayed to 2099 would block the watermark permanently, and each start would read
all later orders. An open order becomes a straggler after 262,144 newer orders, so there are few, and neither accepting
nor working has a cost for them. A start reads about as many orders after the watermark, which takes 0.2 s.

    1 to 8,000,000   final, except the stragglers 17 and 5,000,000
    watermark        8,000,000
    from 8,000,001   read by a start
"""

import contextlib
from collections.abc import Iterator

from shared.runtime.file_lock import FileLock
from shared.stores.orders import DONE, QUEUED, RUNNING, OpenOrder
from shared.stores.sqlite.database import Connection, Writer, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_lister import connect_order_files
from shared.stores.sqlite.rows import JOINED, OPEN_COLUMNS

_RECENT_ORDERS = 262_144
_WINDOW = 262_144
# Rows that one transaction writes; workers wait for it.
_PORTION = 1000
_WAITING = f"(p.sequence IS NULL OR p.state = {QUEUED})"
_STRAGGLERS_TO_WORK = f"""
SELECT {OPEN_COLUMNS} FROM progress.stragglers s CROSS JOIN orders o ON o.sequence = s.sequence
LEFT JOIN progress.progress p ON p.sequence = o.sequence
WHERE s.sequence <= ? AND {_WAITING} ORDER BY s.sequence"""
_RECENT_TO_WORK = f"SELECT {OPEN_COLUMNS} FROM {JOINED} WHERE o.sequence > ? AND {_WAITING} ORDER BY o.sequence"
_REQUEUE = f"UPDATE progress SET state = {QUEUED} WHERE {{}} AND state = {RUNNING} RETURNING sequence"
_REQUEUE_STRAGGLERS = _REQUEUE.format("sequence IN (SELECT sequence FROM stragglers)")
_REQUEUE_RECENT = _REQUEUE.format("sequence > ?")
_OPEN = f"""
SELECT o.sequence FROM {JOINED} WHERE o.sequence > ? AND o.sequence <= ? AND (p.sequence IS NULL OR p.state < {DONE})
ORDER BY o.sequence LIMIT {_PORTION}"""
_FINAL_STRAGGLERS = f"""
SELECT s.sequence FROM progress.stragglers s CROSS JOIN progress.progress p ON p.sequence = s.sequence
WHERE s.sequence > ? AND p.state >= {DONE} ORDER BY s.sequence LIMIT {_PORTION}"""
_NEWEST = "SELECT coalesce(max(sequence), 0) FROM orders"
_ADD = "INSERT OR IGNORE INTO stragglers (sequence) VALUES (?)"
_REMOVE = "DELETE FROM stragglers WHERE sequence = ?"
_SET_MARK = "INSERT OR REPLACE INTO meta (name, value) VALUES ('settled', ?)"


class OpenOrderTracker:
    """The watermark and the stragglers of the intake that owns the files; used by one thread at a time."""

    def __init__(self, files: StoreFiles, progress: Writer, lock: FileLock) -> None:
        self._files = files
        self._progress = progress
        self._lock = lock
        self._watermark = 0

    def set_watermark(self, mark: int) -> None:
        """Sets the watermark that the files have at the start."""
        self._watermark = mark

    def requeue_running(self, connection: Connection) -> list[int]:
        """Requeues orders that were `en proceso` in the caller's transaction; returns their sequences."""
        found = connection.execute(_REQUEUE_STRAGGLERS).fetchall()
        found += connection.execute(_REQUEUE_RECENT, (self._watermark,)).fetchall()
        return sorted(sequence for (sequence,) in found)

    def read_waiting(self, reading: Connection) -> Iterator[OpenOrder]:
        """Yields the orders that are `en cola` in ascending order."""
        for statement in (_STRAGGLERS_TO_WORK, _RECENT_TO_WORK):
            for row in reading.execute(statement, (self._watermark,)):
                yield OpenOrder(*row)

    def add_reopened(self, connection: Connection, sequence: int) -> None:
        """Records, in the caller's transaction, that a final order is open again."""
        if sequence <= self._watermark:
            connection.execute(_ADD, (sequence,))

    def advance_watermark(self) -> None:
        """Advances the watermark to the first recent open order, and removes stragglers that are final.

        Raises StoreError.
        """
        with translate_errors(self._files.orders), contextlib.closing(connect_order_files(self._files)) as reading:
            newest = reading.execute(_NEWEST).fetchone()[0]
            while self._advance_window(reading, newest):
                pass
            after = 0
            while final := reading.execute(_FINAL_STRAGGLERS, (after,)).fetchall():
                with self._lock, self._progress.transaction(len(final)) as connection:
                    connection.executemany(_REMOVE, final)
                after = final[-1][0]

    def _advance_window(self, reading: Connection, newest: int) -> bool:
        """Advances the watermark by at most one window; returns whether it may advance further."""
        stop = min(self._watermark + _WINDOW, newest)
        found = [sequence for (sequence,) in reading.execute(_OPEN, (self._watermark, stop))]
        stragglers = [sequence for sequence in found if sequence <= newest - _RECENT_ORDERS]
        is_held = len(stragglers) < len(found)
        if is_held:
            stop = found[len(stragglers)] - 1
        elif len(found) == _PORTION:
            stop = found[-1]
        if stop <= self._watermark:
            return False
        with self._lock, self._progress.transaction(1 + len(stragglers)) as connection:
            connection.executemany(_ADD, [(sequence,) for sequence in stragglers])
            connection.execute(_SET_MARK, (stop,))
        self._watermark = stop
        return not is_held
