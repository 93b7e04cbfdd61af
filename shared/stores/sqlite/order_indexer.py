"""Builds the index of orders after the commits, in a separate process; it only writes the index file."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

from shared.domain.errors import StoreError
from shared.stores.sqlite.database import Connection, StoreBusy, connect, is_damage, migrate, sqlite, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_index import (
    BLOCK,
    NOTHING,
    SCHEMA_VERSION,
    SEGMENT,
    IndexCoverage,
    attach_index,
    customer_hash,
    delete_index,
    file_number,
    find_anchor,
    read_coverage,
)
from shared.wire.orders import customer_of

# A name has at most 200 characters, at most six each in JSON: this prefix of a document contains the name.
_START_CHARS = 1300
_NEWEST = "SELECT coalesce(max(sequence), 0) FROM main.orders"
_OLDEST = "SELECT min(sequence) FROM main.orders"
_FIRST_SEGMENT = "SELECT min(segment) FROM entries"
_READ = f"""
SELECT sequence, received, substr(document, 1, {_START_CHARS}) FROM main.orders
WHERE sequence >= ? AND sequence < ? ORDER BY sequence"""
_ADD_ENTRIES = "INSERT INTO entries (segment, customer, sequence) VALUES (?, ?, ?)"
_ADD_BLOCK = "INSERT INTO blocks (first, oldest, newest) VALUES (?, ?, ?)"
_SMALL_ENTRIES = """
SELECT customer, sequence FROM entries WHERE segment >= ? AND segment < ? ORDER BY customer, sequence"""
_DELETE_SMALL = "DELETE FROM entries WHERE segment >= ? AND segment < ?"
_REMEMBER = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
_CHECKPOINT_STEPS = 8

Row = tuple[int, int, str]


def unindexed_orders(files: StoreFiles) -> int:
    """Returns the number of sequences that the index does not cover. Raises StoreError."""
    with translate_errors(files.orders), contextlib.closing(connect(files.orders, read_only=True)) as connection:
        newest = int(connection.execute(_NEWEST).fetchone()[0])
        if not files.index.exists():
            return newest
        try:
            return newest + 1 - read_coverage(attach_index(connection, files)).stop
        except sqlite.DatabaseError:
            return newest


class OrderIndexer:
    """The one writer of the index. Raises StoreError when the orders or the index cannot be opened."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._make_index()
        self._reading = attach_index(connect(files.orders, read_only=True), files)
        self._index = connect(files.index)
        with translate_errors(files.index):
            # After a power failure the lost end is indexed again; the file stays intact.
            self._index.execute("PRAGMA synchronous = NORMAL")
            self._coverage = read_coverage(self._reading)
            if self._coverage == NOTHING:
                self._reset_index()
        self._steps = 0
        self._file = file_number(files)

    @property
    def is_current(self) -> bool:
        """Whether the open file is still the current index file."""
        return file_number(self._files) == self._file

    def _make_index(self) -> None:
        """Opens or creates the file; replaces one that is unreadable or has another version."""
        path = self._files.index
        try:
            with translate_errors(path), contextlib.closing(connect(path)) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    migrate(connection, path, "index")
                if version in (0, SCHEMA_VERSION) and _is_whole(connection):
                    return
        except StoreBusy:
            raise
        except StoreError:
            pass
        delete_index(self._files)
        with contextlib.closing(connect(path)) as connection:
            migrate(connection, path, "index")

    def _reset_index(self) -> None:
        with _begin_transaction(self._index) as connection:
            for table in ("entries", "blocks", "meta"):
                connection.execute(f"DELETE FROM {table}")
            self._save_coverage(connection, NOTHING)
        self._coverage = NOTHING

    def index_segment(self) -> bool:
        """Indexes one more segment; returns False if no segment is complete. Raises StoreError.

        Deletes the index if it is damaged.
        """
        with translate_errors(self._files.index):
            try:
                return self._index_next()
            except sqlite.DatabaseError as error:
                if is_damage(error):
                    delete_index(self._files)
                raise

    def _index_next(self) -> bool:
        stop = self._coverage.stop
        newest = int(self._reading.execute(_NEWEST).fetchone()[0])
        if stop % SEGMENT == 0 and newest >= stop + SEGMENT - 1:
            self._add_segment(stop, SEGMENT)
        elif newest >= stop + BLOCK - 1:
            self._add_segment(stop, BLOCK)
        else:
            return self._forget_archived()
        self._steps += 1
        if self._steps % _CHECKPOINT_STEPS == 0:
            self._index.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return True

    def _forget_archived(self) -> bool:
        """Deletes the oldest large segment if all of its orders are archived."""
        oldest = self._reading.execute(_OLDEST).fetchone()[0]
        segment = self._index.execute(_FIRST_SEGMENT).fetchone()[0]
        if oldest is None or segment is None:
            return False
        stop = segment + SEGMENT
        if stop > min(oldest, self._coverage.merged):
            return False
        with _begin_transaction(self._index) as connection:
            connection.execute("DELETE FROM entries WHERE segment = ?", (segment,))
            connection.execute("DELETE FROM blocks WHERE first < ?", (stop,))
        return True

    def _add_segment(self, first: int, size: int) -> None:
        """Adds a large or small segment, and merges the small ones when they fill a large one."""
        entries: list[tuple[int, int]] = []
        blocks: list[tuple[int, int, int]] = []
        for start in range(first, first + size, BLOCK):
            received: list[int] = []
            for sequence, at, document in self._reading.execute(_READ, (start, start + BLOCK)):
                entries.append((customer_hash(customer_of(document)), sequence))
                received.append(at)
            if received:
                blocks.append((start, min(received), max(received)))
        entries.sort()
        stop = first + size
        complete = stop % SEGMENT == 0
        with _begin_transaction(self._index) as connection:
            connection.executemany(_ADD_BLOCK, blocks)
            _add_entries(connection, first, entries)
            if complete and size == BLOCK:
                bounds = (stop - SEGMENT, stop)
                merged = connection.execute(_SMALL_ENTRIES, bounds).fetchall()
                connection.execute(_DELETE_SMALL, bounds)
                _add_entries(connection, stop - SEGMENT, merged)
            coverage = IndexCoverage(stop, stop if complete else self._coverage.merged)
            self._save_coverage(connection, coverage)
        self._coverage = coverage

    def _save_coverage(self, connection: Connection, coverage: IndexCoverage) -> None:
        anchor = find_anchor(self._reading, coverage.stop)
        connection.executemany(_REMEMBER, [*coverage._asdict().items(), *anchor._asdict().items()])

    def close(self) -> None:
        """Closes the files."""
        with contextlib.suppress(sqlite.Error):
            self._index.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._index.close()
        self._reading.close()


def build_index(files: StoreFiles, *, share: float, idle_seconds: float) -> None:
    """Indexes for `share` of the time, until no segment was complete for `idle_seconds`. Raises StoreError."""
    indexer = OrderIndexer(files)
    try:
        last = time.monotonic()
        while indexer.is_current and time.monotonic() - last < idle_seconds:
            began = time.process_time()
            if indexer.index_segment():
                last = time.monotonic()
                time.sleep((time.process_time() - began) * (1 - share) / share)
            else:
                time.sleep(1.0)
    finally:
        indexer.close()


def _is_whole(connection: Connection) -> bool:
    """Whether the tables can be read; damage in other pages is detected when a list reads them."""
    return connection.execute("SELECT count(*) FROM meta").fetchone() is not None


def _add_entries(connection: Connection, segment: int, entries: Iterable[Sequence[Any]]) -> None:
    connection.executemany(_ADD_ENTRIES, ((segment, customer, sequence) for customer, sequence in entries))


@contextlib.contextmanager
def _begin_transaction(connection: Connection) -> Any:
    connection.execute("BEGIN")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
