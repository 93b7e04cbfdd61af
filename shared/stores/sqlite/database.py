"""SQLite files: opening, schema versions, transactions, checkpoints, and translation of errors.

SQLite before 3.51.3 can lose commits when two connections write and checkpoint a WAL at once. Here
every commit and every checkpoint of a file happens under that file's lock, which rules it out on any
version; a newer SQLite is used where its wheel exists.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.domain.errors import StartupError, StoreError
from shared.runtime.durable_files import PRIVATE

try:
    import pysqlite3 as sqlite
except ImportError:  # no wheel for this platform
    import sqlite3 as sqlite

__all__ = [
    "Connection",
    "StoreBusy",
    "Writer",
    "connect",
    "is_busy",
    "is_damage",
    "migrate",
    "never_wait",
    "sqlite",
    "translate_errors",
]

SCHEMA = Path(__file__).parent / "schema"

# A checkpoint costs two fsyncs. One for every 20,000 rows keeps the write-ahead log at a few MiB and the
# pause of a commit that also checkpoints at a few milliseconds.
_CHECKPOINT_ROWS = 20_000
_COMMIT_WEIGHT = 40
_WAL_LIMIT_BYTES = 64 * 2**20
# How long closing waits for readers of the write-ahead log.
_CLOSE_MILLISECONDS = 1000


Connection = Any
"""A connection of the sqlite module in use; its type differs between the two modules."""


class StoreBusy(StoreError):
    """Another program has the file locked."""


def connect(path: Path, *, read_only: bool = False, wait_seconds: float = 5.0) -> Connection:
    """Opens a file for transactions that are begun by hand. Waits up to that long for a lock. Raises StoreError."""
    if not read_only:
        _make_private(path)
    with translate_errors(path):
        connection = sqlite.connect(str(path), isolation_level=None, check_same_thread=False, timeout=wait_seconds)
        with _closed_on_error(connection):
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA cache_size = -16384")
    return connection


def _make_private(path: Path) -> None:
    """Restricts a database to its owner. SQLite gives the WAL files of a new database the same mode.

    An existing file is never opened here: closing it would release the locks that other connections of this process
    hold on it.
    """
    with contextlib.suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            os.chmod(f"{path}{ending}", PRIVATE)


@contextlib.contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    """Closes the connection if the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def never_wait(connection: Connection) -> None:
    """Makes a connection raise StoreBusy instead of waiting for a lock, for connections that an event loop uses.

    Writers of the suite take turns under the lock files, so only other programs can hold a lock.
    """
    connection.execute("PRAGMA busy_timeout = 0")


def open_copy(path: Path) -> Connection:
    """Opens a file that no process writes, without creating WAL files. Raises StoreError."""
    with translate_errors(path):
        return sqlite.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def open_target(path: Path) -> Connection:
    """Opens a file into which a whole database is copied: no journal, no sync.

    Raises StoreError.
    """
    with translate_errors(path):
        connection = sqlite.connect(str(path), isolation_level=None)
        with _closed_on_error(connection):
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
    return connection


def migrate(connection: Connection, path: Path, name: str) -> None:
    """Brings a file to the newest schema `name`-N.sql, all in one transaction.

    Raises StartupError when the file is of a newer schema than this program knows. When it raises, it has closed the
    connection.
    """
    with translate_errors(path), _closed_on_error(connection):
        known = _known_schemas(name)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        newest = max(known)
        if version > newest:
            raise StartupError(
                f"{path} has schema version {version}, and this program knows versions up to {newest}",
                hint="run the newer program that made it, or point DATA_DIR at another folder",
            )
        for step in range(version + 1, newest + 1):
            script = known[step].read_text()
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {step};\nCOMMIT;")


def newest_schema(name: str) -> int:
    """Returns the newest version of the schema `name` that this program knows."""
    return max(_known_schemas(name))


def _known_schemas(name: str) -> dict[int, Path]:
    return {int(file.stem.rpartition("-")[2]): file for file in SCHEMA.glob(f"{name}-*.sql")}


def _result_code(error: Exception) -> int:
    """Returns the primary result code of an error of the driver; zero where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: Exception) -> bool:
    """Whether the error of the driver means that another connection has locked the file."""
    return bool(_result_code(error) == sqlite.SQLITE_BUSY)


def is_damage(error: Exception) -> bool:
    """Whether the error of the driver means that the file is damaged, or is not a database."""
    return _result_code(error) in (sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB)


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turns the driver's errors into StoreError."""
    try:
        yield
    except sqlite.Error as error:
        if is_busy(error):
            raise StoreBusy(
                f"{path.name} is locked by another program",
                hint="end what holds it, as a database browser or an open transaction, then send this again",
            ) from error
        raise StoreError(
            f"the store refused: {error}", hint=f"see the server's log; the file is {path.name}"
        ) from error


class Writer:
    """The writing connection of one file. Its owner holds the file's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path)
        self._weight = 0

    @contextlib.contextmanager
    def transaction(self, rows: int) -> Iterator[Connection]:
        """A transaction that commits with fsync at the end; `rows` is the approximate number of rows written.

        Raises StoreError when the database refuses; then nothing has changed.
        """
        with translate_errors(self.path):
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._weight += rows + _COMMIT_WEIGHT
            if self._weight >= _CHECKPOINT_ROWS:
                self._weight = 0
                # The commit above stands whatever becomes of this; what is left in the log is read
                # from there, and the next checkpoint tries again.
                with contextlib.suppress(sqlite.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Writes the log home, if no reader and no full disk is in the way, and closes the file."""
        with contextlib.suppress(sqlite.Error):
            self.connection.execute(f"PRAGMA busy_timeout = {_CLOSE_MILLISECONDS}")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with translate_errors(self.path):
            self.connection.close()
