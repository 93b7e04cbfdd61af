"""The counts of what is bought together, of all tenants, in one SQLite file: one process writes, others read.

Each purchase is in the file with its version, so a change can be counted again without effect, and a cancelled
purchase counts back. The position in the change feed is in the same transaction. The file is a projection of the
records: it is rebuilt if it is missing or damaged.
"""

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from shared.domain.errors import StoreError
from shared.recommendations.scores import Pair
from shared.stores.sqlite.database import Connection, connect, sqlite, translate_errors

FILE: Final = "recommendations.db"
"""The file's name in DATA_DIR."""

SALES_DAYS: Final = 90
"""Days of which the sales decide what is popular."""

_PAIRS: Final = 300
"""Books that count beside a known one, those that were bought together with it most often."""
_BOUGHT: Final = 50

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shops (tenant TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS purchases (tenant TEXT, user TEXT, purchase TEXT, version INTEGER NOT NULL,
    counted INTEGER NOT NULL, books TEXT NOT NULL, PRIMARY KEY (tenant, user, purchase)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (tenant TEXT, book TEXT, n INTEGER NOT NULL, PRIMARY KEY (tenant, book)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pairs (tenant TEXT, a TEXT, b TEXT, n INTEGER NOT NULL, PRIMARY KEY (tenant, a, b))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pairs_by_count ON pairs (tenant, a, n);
CREATE TABLE IF NOT EXISTS sales (day TEXT, tenant TEXT, book TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, tenant, book))
    WITHOUT ROWID;
"""
_TABLES: Final = ("state", "shops", "purchases", "items", "pairs", "sales")
_VERSION: Final = 1
"""Changes with the tables; a file of another version is rebuilt."""
_COUNT_SHOP: Final = "INSERT INTO shops VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_COUNT_ITEM: Final = "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_COUNT_PAIR: Final = "INSERT INTO pairs VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_COUNT_SALE: Final = "INSERT INTO sales VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_PUT_PURCHASE: Final = "INSERT OR REPLACE INTO purchases VALUES (?, ?, ?, ?, ?, ?)"


class PurchaseChange(NamedTuple):
    """A purchase as it is now."""

    tenant: str
    user: str
    purchase: str
    version: int
    counts: bool
    """Whether it was not cancelled or removed."""
    books: Sequence[str]
    day: str
    """The day on which it was made, such as `2026-11-27`."""


class PairWriter:
    """Writes the file. All calls block, and raise StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        with translate_errors(path):
            self._connection.execute("PRAGMA wal_autocheckpoint = 1000")
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for table in _TABLES:
                    self._connection.execute(f"DROP TABLE IF EXISTS {table}")
            self._connection.executescript(f"{_SCHEMA}PRAGMA user_version = {_VERSION};")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def read_position(self) -> str | None:
        """Returns the position in the feed behind the last counted changes; None for a new file."""
        with translate_errors(self._path):
            row = self._connection.execute("SELECT value FROM state WHERE name = 'position'").fetchone()
        return None if row is None else str(row[0])

    def count_changes(self, changes: Iterable[PurchaseChange], position: str | None) -> None:
        """Counts changes and stores the position behind them, in one transaction. None keeps the position."""
        with translate_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._count(change)
                if position is not None:
                    self._connection.execute("INSERT OR REPLACE INTO state VALUES ('position', ?)", (position,))
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def forget_sales(self, before: datetime.date) -> None:
        """Deletes the sales of the days before a day, which no recommendation needs."""
        with translate_errors(self._path):
            self._connection.execute("DELETE FROM sales WHERE day < ?", (before.isoformat(),))

    def _count(self, change: PurchaseChange) -> None:
        key = change[:3]
        found = self._connection.execute(
            "SELECT version, counted, books FROM purchases WHERE tenant = ? AND user = ? AND purchase = ?", key
        ).fetchone()
        if found is not None and found[0] >= change.version:
            return
        books = sorted(set(change.books if found is None else json.loads(found[2])))
        step = int(change.counts) - (0 if found is None else found[1])
        self._connection.execute(_PUT_PURCHASE, (*key, change.version, int(change.counts), json.dumps(books)))
        if step:
            tenant = change.tenant
            self._connection.execute(_COUNT_SHOP, (tenant, step))
            self._connection.executemany(_COUNT_ITEM, [(tenant, book, step) for book in books])
            self._connection.executemany(_COUNT_SALE, [(change.day, tenant, book, step) for book in books])
            pairs = [(tenant, one, other, step) for one in books for other in books if one != other]
            self._connection.executemany(_COUNT_PAIR, pairs)


class TenantPairs:
    """The counts of one tenant, for one look at the file. All calls block, and raise StoreError."""

    def __init__(self, path: Path, connection: Connection, tenant: str) -> None:
        self._path = path
        self._connection = connection
        self._tenant = tenant

    def count_purchases(self) -> int:
        """Returns the number of purchases."""
        return self._read_number("SELECT n FROM shops WHERE tenant = ?")

    def count_book(self, book: str) -> int:
        """Returns the number of purchases with a book."""
        return self._read_number("SELECT n FROM items WHERE tenant = ? AND book = ?", book)

    def list_pairs(self, book: str) -> list[Pair]:
        """Returns the books that were bought together with a book most often."""
        rows = self._read(
            "SELECT b, p.n, i.n FROM pairs p JOIN items i ON i.tenant = p.tenant AND i.book = p.b "
            f"WHERE p.tenant = ? AND a = ? AND p.n > 0 ORDER BY p.n DESC, b LIMIT {_PAIRS}",
            book,
        )
        return [Pair(*row) for row in rows]

    def list_bought(self, user: str) -> tuple[list[str], set[str]]:
        """Returns the last 50 different books that a user has bought, and all of them."""
        rows = self._read(
            "SELECT books FROM purchases WHERE tenant = ? AND user = ? AND counted ORDER BY purchase DESC", user
        )
        books = list(dict.fromkeys(book for (text,) in rows for book in json.loads(text)))
        return books[:_BOUGHT], set(books)

    def list_popular(self, first: datetime.date, last: datetime.date, limit: int) -> list[str]:
        """Returns the books in most purchases of some days, both included, the most frequent ones first."""
        days = [(first + datetime.timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
        rows = self._read(
            "SELECT book FROM sales WHERE tenant = ? AND day IN (SELECT value FROM json_each(?)) "
            "GROUP BY book HAVING sum(n) > 0 ORDER BY sum(n) DESC, book LIMIT ?",
            json.dumps(days),
            limit,
        )
        return [str(book) for (book,) in rows]

    def _read_number(self, query: str, *values: str) -> int:
        rows = self._read(query, *values)
        return int(rows[0][0]) if rows else 0

    def _read(self, query: str, *values: str | int) -> list[Any]:
        with translate_errors(self._path):
            rows: list[Any] = self._connection.execute(query, (self._tenant, *values)).fetchall()
        return rows


@contextlib.contextmanager
def open_pairs(path: Path, tenant: str) -> Iterator[TenantPairs | None]:
    """Opens the counts of a tenant for reading; None if nothing has been counted on this machine. Blocks."""
    if not path.exists():
        yield None
        return
    connection = connect(path, read_only=True)
    try:
        with translate_errors(path):
            connection.execute("BEGIN")
        yield TenantPairs(path, connection, tenant)
    finally:
        connection.close()


def shows_damage(error: StoreError) -> bool:
    """Whether a failure means a damaged file, and not a full disk, a lock of another program, or a lack of rights."""
    cause = error.__cause__
    return isinstance(cause, sqlite.DatabaseError) and not isinstance(cause, sqlite.OperationalError)


def delete_pairs(path: Path) -> None:
    """Deletes the file. Raises StoreError."""
    try:
        for ending in ("", "-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be deleted: {error}") from error
