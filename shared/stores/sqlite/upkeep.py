"""Keeps an intake's files from growing: deletes what every follower has read of the outbox, and archived orders.

All of it is done in portions of about a millisecond, with pauses between them that the caller makes.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from shared.stores.sqlite.archives import DELETED_ROWS, ArchivedRowRemover
from shared.stores.sqlite.busy_retry import BusyRetry
from shared.stores.sqlite.database import Writer
from shared.stores.sqlite.lock import FileLock
from shared.stores.sqlite.order_positions import current_position

_ENTRIES = 1000
_PORTIONS = 4
_DAY = 86_400_000_000
_STATE = """
SELECT (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'trimmed'),
    (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'era'),
    (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'node'),
    (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'rebuilt'),
    (SELECT coalesce(max(number), 0) FROM moves)"""
_OLD = """
SELECT coalesce(max(number), 0) FROM (SELECT number, at FROM moves ORDER BY number LIMIT ?) WHERE at < ?"""
_PORTION_END = """
SELECT coalesce(max(number), 0) FROM (SELECT number FROM moves WHERE number <= ? ORDER BY number LIMIT ?)"""


class Upkeep:
    """Trims the outbox and deletes archived orders, for the intake that owns the files.

    `followers` are the files of those who read the outbox. What they have not read is kept for `outbox_days`; a
    follower that comes back later begins with the totals.
    """

    def __init__(
        self,
        progress: Writer,
        progress_lock: FileLock,
        archive: Path,
        followers: Sequence[Path],
        *,
        outbox_days: float,
    ) -> None:
        self._progress = progress
        self._lock = progress_lock
        self._followers = followers
        self._outbox_days = outbox_days
        self._remover = ArchivedRowRemover(archive)

    def trim_outbox(self) -> bool:
        """Deletes a portion of the outbox: whether there may be more. Raises StoreError."""
        # Not under the lock, for which all workers wait: another program may have a follower's file locked for seconds.
        positions = [current_position(path) for path in self._followers]
        with self._lock:
            connection = self._progress.connection
            trimmed, era, node, rebuilt, newest = connection.execute(_STATE).fetchone()
            read = min((one.move for one in positions if (one.node, one.era) == (node, era)), default=0)
            if any((one.node, one.era) != (node, era) for one in positions):
                read = 0
            old = time.time_ns() // 1000 - round(self._outbox_days * _DAY)
            wanted = min(read, newest)
            if rebuilt < old:
                # What a move has put here may tell of last year, and nobody has had the time to read it.
                wanted = max(wanted, connection.execute(_OLD, (_ENTRIES, old)).fetchone()[0])
            if wanted <= trimmed:
                return False
            end = connection.execute(_PORTION_END, (wanted, _ENTRIES)).fetchone()[0] or wanted
            with self._progress.transaction(_ENTRIES) as transaction:
                # The last entry stays: its number is where the next one goes on.
                transaction.execute("DELETE FROM moves WHERE number <= ? AND number < ?", (end, newest))
                transaction.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('trimmed', ?)", (end,))
        return bool(end < wanted)

    async def remove_archived(self, orders: Writer, accepting: BusyRetry) -> bool:
        """Deletes a portion of the rows of archived orders in the event loop: whether there may be more there.

        Raises StoreError. `find_archived` comes before it, and `remove_progress` when it is done.
        """

        async def delete() -> None:
            with orders.transaction(DELETED_ROWS) as connection:
                self._remover.delete_orders(connection)

        if self._remover.orders_left:
            await accepting.run_write(delete)
            self._remover.finish_chunk()
        return self._remover.orders_left

    def find_archived(self) -> bool:
        """Whether there are archived orders whose rows are to be deleted. Raises StoreError."""
        return self._remover.find_rows(self._progress.connection)

    def remove_progress(self) -> None:
        """Deletes a portion of the progress of archived orders. Raises StoreError."""
        with self._lock:
            self._remover.delete_progress(self._progress, _PORTIONS)
