"""Moves data other than orders and records between the files of one machine and another store.

The data consists of the file of the distributed service (statistics, ranking, notifications, the event log), the
change feed of the records, and the outbox entries that the distributed service has not read. Rows of the file are
written to the same tables; all others to the table `carried` of the file, from which `finish_transfer` restores them.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.domain.errors import StartupError
from shared.runtime.file_lock import FileLock
from shared.stores.orders import CANCELLED, DONE
from shared.stores.ports.transfer import ITEM_SUM, TransferredRow
from shared.stores.sqlite.database import Connection, Writer, migrate, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_lister import connect_order_files
from shared.stores.sqlite.order_positions import ORDERS, ORDERS_BEFORE, OrderPosition
from shared.stores.sqlite.outbox import rebuild_outbox
from shared.stores.sqlite.records import SqliteRecordStore

_PAGE_ROWS = 500
_PAGE_BYTES = 2**20
_OUTBOX, _OPEN, _LAST, _CHANGES, _FEED, _REPAIRS = "outbox", "open orders", "last order", "changes", "feed", "repairs"
_NUMBERS = "sqlite_sequence"
# Nonces from before the move have expired.
_LEFT_OUT = ("nonces", "carried")
_SINCE = "nonces_since"
_NOWHERE = OrderPosition(-1)
"""A position in no store, so that a follower begins again."""
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
_MAKE_CARRIED = """
CREATE TABLE IF NOT EXISTS carried (kind TEXT, number INTEGER, body TEXT NOT NULL, PRIMARY KEY (kind, number))"""
_HAS_CARRIED = "SELECT 1 FROM sqlite_master WHERE name = 'carried'"
_HAS_REPAIRS = "SELECT 1 FROM progress.sqlite_master WHERE name = 'repairs'"
_OPEN_ORDERS = f"""
SELECT o.sequence, coalesce(p.state, 0) FROM orders o LEFT JOIN progress.progress p ON p.sequence = o.sequence
WHERE p.state IS NULL OR p.state NOT IN ({DONE}, {CANCELLED}) ORDER BY o.sequence"""
_NEWEST = "SELECT coalesce(max(sequence), 0) FROM orders"
_MAKE_REPAIRS = """
CREATE TABLE IF NOT EXISTS repairs (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, details TEXT NOT NULL)"""


class SqliteCarriedTransfer:
    """Implements `CarriedTransfer`. Raises StartupError when a distributed service is using its file.

    `records` is the record store, `files` are the order files; no other process may use them.
    """

    def __init__(self, path: Path, files: StoreFiles, records: SqliteRecordStore) -> None:
        self._path = path
        self._files = files
        self._records = records
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        if not self._lock.try_acquire():
            raise StartupError(f"a distributed service is using {path}", hint="stop it first")
        self._writer: Writer | None = None

    def _open_file(self) -> Writer:
        """Opens the file of the distributed service, or creates it."""
        if self._writer is None:
            self._writer = Writer(self._path)
            migrate(self._writer.connection, self._path, "distributed")
        return self._writer

    async def is_empty(self) -> bool:
        """See `CarriedTransfer.is_empty`."""
        if not self._path.exists():
            return True
        with translate_errors(self._path):
            held = "SELECT 1 FROM counts UNION ALL SELECT 1 FROM notifications UNION ALL SELECT 1 FROM users LIMIT 1"
            return self._open_file().connection.execute(held).fetchone() is None

    async def read_pages(self) -> AsyncIterator[list[TransferredRow]]:
        """See `CarriedTransfer.read_pages`."""
        page: list[TransferredRow] = []
        size = 0
        for row in self._iterate_rows():
            page.append(row)
            size += sum(len(value) for value in row.values if isinstance(value, str))
            if len(page) == _PAGE_ROWS or size > _PAGE_BYTES:
                yield page
                page, size = [], 0
        if page:
            yield page

    def _iterate_rows(self) -> Iterator[TransferredRow]:
        if self._path.exists():
            with translate_errors(self._path):
                connection = self._open_file().connection
                yield from _own_rows(connection)
                if connection.execute(_HAS_CARRIED).fetchone() is not None:
                    # The rows of a move that is not finished.
                    for kind, body in connection.execute("SELECT kind, body FROM carried ORDER BY kind, number"):
                        yield TransferredRow(kind, msgspec.json.decode(body))
                    return
        with translate_errors(self._files.orders), contextlib.closing(connect_order_files(self._files)) as orders:
            yield from self._order_rows(orders)
        newest, forgotten, changes = self._records.kept_changes()
        if newest:
            yield TransferredRow(_FEED, [newest, forgotten])
        for change in changes:
            yield TransferredRow(_CHANGES, list(change))

    def _order_rows(self, connection: Connection) -> Iterator[TransferredRow]:
        position = self._read_position(connection)
        if position is not None:
            yield TransferredRow(_LAST, list(connection.execute(_NEWEST).fetchone()))
            unread = "SELECT number, at, last, moves FROM progress.moves WHERE number > ? ORDER BY number"
            for row in connection.execute(unread, (position.move,)):
                yield TransferredRow(_OUTBOX, list(row))
            for row in connection.execute(_OPEN_ORDERS):
                yield TransferredRow(_OPEN, list(row))
        if connection.execute(_HAS_REPAIRS).fetchone() is not None:
            for row in connection.execute("SELECT number, at, details FROM progress.repairs ORDER BY number"):
                yield TransferredRow(_REPAIRS, list(row))

    def _read_position(self, orders: Connection) -> OrderPosition | None:
        """Returns the position of the distributed service in these orders; None if it has to start over."""
        position = self._own_position()
        known = dict(orders.execute("SELECT name, value FROM progress.meta").fetchall())
        row = orders.execute("SELECT value FROM main.meta WHERE name = 'node'").fetchone()
        if position is None or row is None or (position.node, position.era) != (row[0], known.get("era", 0)):
            return None
        newest = orders.execute(_NEWEST).fetchone()[0]
        last = orders.execute("SELECT coalesce(max(number), 0) FROM progress.moves").fetchone()[0]
        return position if position.order <= newest and position.move <= last else None

    def _own_position(self) -> OrderPosition | None:
        if not self._path.exists():
            return None
        row = self._open_file().connection.execute("SELECT value FROM meta WHERE name = ?", (ORDERS,)).fetchone()
        return None if row is None else OrderPosition.parse(row[0])

    async def write_page(self, page: int, rows: Sequence[TransferredRow]) -> None:
        """See `CarriedTransfer.write_page`."""
        writer = self._open_file()
        with writer.transaction(len(rows)) as connection:
            connection.execute(_MAKE_CARRIED)
            own = {name for (name,) in connection.execute(_TABLES)}
            for number, (table, values) in enumerate(rows):
                if table == _NUMBERS:
                    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (values[0],))
                if table in own or table == _NUMBERS:
                    places = ", ".join("?" * len(values))
                    connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", values)
                else:
                    body = msgspec.json.encode(values).decode()
                    place = (table, page * 1_000_000 + number, body)
                    connection.execute("INSERT OR REPLACE INTO carried VALUES (?, ?, ?)", place)

    async def finish_transfer(self, node: int | None, item_sum: int) -> None:
        """See `CarriedTransfer.finish_transfer`."""
        writer = self._open_file()
        with translate_errors(self._path):
            writer.connection.execute(_MAKE_CARRIED)
            self._finish_feed(writer.connection, item_sum)
            if node is not None:
                self._finish_orders(writer, node)
        with writer.transaction(1) as connection:
            connection.execute("DROP TABLE carried")

    def _finish_feed(self, connection: Connection, item_sum: int) -> None:
        """Restores the feed if no item has changed since; otherwise followers have to read all records again."""
        newest, forgotten = next(iter(_read_carried(connection, _FEED)), [0, 0])
        if [str(item_sum)] in _read_carried(connection, ITEM_SUM):
            self._records.load_changes(_read_carried(connection, _CHANGES), newest, forgotten)
        else:
            self._records.load_changes((), newest + 1, newest + 1)

    def _finish_orders(self, writer: Writer, node: int) -> None:
        """Restores the outbox, so that the distributed service counts the orders that it has not counted."""
        connection = writer.connection
        position = self._own_position()
        last = next(iter(_read_carried(connection, _LAST)), None)
        known = position is not None and position.node == node and last is not None
        progress = Writer(self._files.progress)
        try:
            with progress.transaction(1) as target:
                if known:
                    assert position is not None
                    assert last is not None
                    unread = _read_carried(connection, _OUTBOX)
                    before = dict(_read_carried(connection, _OPEN))
                    rebuild_outbox(target, before, last[0], [(position.move, 0, 0, "{}"), *unread])
                    target.execute("INSERT OR REPLACE INTO meta VALUES ('era', ?)", (position.era,))
                else:
                    rebuild_outbox(target, {}, 0, ())
                    self._begin_again(writer)
                if repairs := _read_carried(connection, _REPAIRS):
                    target.execute(_MAKE_REPAIRS)
                    target.executemany("INSERT OR REPLACE INTO repairs VALUES (?, ?, ?)", repairs)
        finally:
            progress.close()
        orders = Writer(self._files.orders)
        try:
            with orders.transaction(1) as target:
                era = position.era if known and position is not None else 0
                target.execute("INSERT OR REPLACE INTO meta VALUES ('era', ?)", (era,))
        finally:
            orders.close()

    def _begin_again(self, writer: Writer) -> None:
        """Makes the distributed service count all orders again."""
        with writer.transaction(2) as connection:
            connection.execute("UPDATE meta SET value = ? WHERE name = ?", (str(_NOWHERE), ORDERS))
            connection.execute("DELETE FROM meta WHERE name = ?", (ORDERS_BEFORE,))

    def close(self) -> None:
        """Releases the files."""
        if self._writer is not None:
            self._writer.close()
        self._lock.close()


def _own_rows(connection: Connection) -> Iterator[TransferredRow]:
    for (table,) in connection.execute(_TABLES).fetchall():
        if table not in _LEFT_OUT:
            for row in connection.execute(f"SELECT * FROM {table}"):
                if table != "meta" or row[0] != _SINCE:
                    yield TransferredRow(table, list(row))
    for row in connection.execute("SELECT name, seq FROM sqlite_sequence"):
        yield TransferredRow(_NUMBERS, list(row))


def _read_carried(connection: Connection, kind: str) -> list[Any]:
    rows = connection.execute("SELECT body FROM carried WHERE kind = ? ORDER BY number", (kind,)).fetchall()
    return [msgspec.json.decode(body) for (body,) in rows]
