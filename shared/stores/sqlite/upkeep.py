"""Limits the growth of an intake's files: deletes outbox entries that all followers have read, and archived orders.

It works in chunks of about a millisecond; the caller pauses between them.
"""

from collections.abc import Sequence
from pathlib import Path

from shared.runtime.clock import read_clock
from shared.runtime.file_lock import FileLock
from shared.stores.sqlite.archives import DELETED_ROWS, ArchivedRowRemover
from shared.stores.sqlite.busy_retry import BusyRetry
from shared.stores.sqlite.database import Writer
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

    `followers` are the files of the followers of the outbox. Entries that they have not read are kept for
    `outbox_days`; a follower that returns later restarts from the totals.
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
        """Deletes a chunk of the outbox; returns whether there may be more. Raises StoreError."""
        # Before taking the lock, for which all workers wait: another program may lock a follower's file for seconds.
        positions = [current_position(path) for path in self._followers]
        with self._lock:
            connection = self._progress.connection
            trimmed, era, node, rebuilt, newest = connection.execute(_STATE).fetchone()
            read = min((one.move for one in positions if (one.node, one.era) == (node, era)), default=0)
            if any((one.node, one.era) != (node, era) for one in positions):
                read = 0
            old = read_clock() - round(self._outbox_days * _DAY)
            wanted = min(read, newest)
            if rebuilt < old:
                # Entries of a migration may have old times although no follower has had time to read them.
                wanted = max(wanted, connection.execute(_OLD, (_ENTRIES, old)).fetchone()[0])
            if wanted <= trimmed:
                return False
            end = connection.execute(_PORTION_END, (wanted, _ENTRIES)).fetchone()[0] or wanted
            with self._progress.transaction(_ENTRIES) as transaction:
                # The last entry stays: the next number continues from it.
                transaction.execute("DELETE FROM moves WHERE number <= ? AND number < ?", (end, newest))
                transaction.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('trimmed', ?)", (end,))
        return bool(end < wanted)

    async def remove_archived(self, orders: Writer, accepting: BusyRetry) -> bool:
        """Deletes a chunk of rows of archived orders in the event loop; returns whether there may be more.

        Raises StoreError. The caller calls `find_archived` before, and `remove_progress` when it returns False.
        """

        async def delete_rows() -> None:
            with orders.transaction(DELETED_ROWS) as connection:
                self._remover.delete_orders(connection)

        if self._remover.orders_left:
            await accepting.run_write(delete_rows)
            self._remover.finish_chunk()
        return self._remover.orders_left

    def find_archived(self) -> bool:
        """Whether there are rows of archived orders to delete. Raises StoreError."""
        return self._remover.find_rows(self._progress.connection)

    def remove_progress(self) -> None:
        """Deletes a chunk of the progress of archived orders. Raises StoreError."""
        with self._lock:
            self._remover.delete_progress(self._progress, _PORTIONS)
