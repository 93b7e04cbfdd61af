"""The index of orders by customer and by time of receipt: its file and its coverage.

A separate process builds it after the commits from orders, which never change (`order_indexer`). It covers the
sequences from 1 up to a position. Lists use the index up to that position and read newer orders directly, so they are
correct however far the index lags behind. The index can be deleted or come from an older backup than the orders: it is
used only if the last order that it covers matches the stored order, and is rebuilt otherwise.

Entries are stored in segments, each sorted, like the runs of a log-structured merge tree: new entries are appended
instead of being spread over the whole file, and a lookup queries each segment once (153 of them for ten million
orders). 16 complete small segments of one block each are merged to a large one.
"""

import os
import zlib
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from shared.domain.names import name_key
from shared.stores.sqlite.database import Connection
from shared.stores.sqlite.files import StoreFiles

SCHEMA_VERSION = 1
BLOCK = 4096
"""Sequences of a block, and of a small segment."""
SEGMENT = 65_536
"""Sequences of a large segment."""

_HASH_BYTES = 6
_LAST_ORDER = "SELECT sequence, received, document FROM main.orders WHERE sequence < ? ORDER BY sequence DESC LIMIT 1"


class IndexCoverage(NamedTuple):
    """The orders in the index: those below `stop`, in large segments below `merged` and in small ones from there."""

    stop: int = 0
    merged: int = 0


NOTHING = IndexCoverage()


class IndexAnchor(NamedTuple):
    """The last covered order, which identifies the file of orders that the index belongs to; zeros for none."""

    node: int
    sequence: int
    received: int
    checksum: int


def attach_index(connection: Connection, files: StoreFiles) -> Connection:
    """Attaches the index under the name `idx` to a connection on the orders, and returns the connection."""
    connection.execute("ATTACH DATABASE ? AS idx", (str(files.index),))
    return connection


def file_number(files: StoreFiles) -> tuple[int, int] | None:
    """Returns the identity of the index file (device and inode); None if it does not exist."""
    try:
        found = os.stat(files.index)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def delete_index(files: StoreFiles) -> None:
    """Deletes the index; its readers and its builder detect that."""
    # The write-ahead log first: SQLite would apply it to a new file of the same name.
    for suffix in ("-wal", "-shm", ""):
        files.index.with_name(files.index.name + suffix).unlink(missing_ok=True)


def read_coverage(connection: Connection) -> IndexCoverage:
    """Returns the coverage of the attached index; empty if it does not belong to these orders."""
    if connection.execute("PRAGMA idx.user_version").fetchone()[0] != SCHEMA_VERSION:
        return NOTHING
    meta = dict(connection.execute("SELECT name, value FROM idx.meta").fetchall())
    try:
        found = IndexCoverage(meta["stop"], meta["merged"])
        anchor = IndexAnchor(meta["node"], meta["sequence"], meta["received"], meta["checksum"])
    except KeyError:
        return NOTHING
    return found if anchor == find_anchor(connection, found.stop) else NOTHING


def find_anchor(connection: Connection, stop: int) -> IndexAnchor:
    """Returns the anchor of an index of the orders below `stop`."""
    node = connection.execute("SELECT value FROM main.meta WHERE name = 'node'").fetchone()
    row = connection.execute(_LAST_ORDER, (stop,)).fetchone()
    if node is None or row is None:
        return IndexAnchor(0 if node is None else node[0], 0, 0, 0)
    return IndexAnchor(node[0], row[0], row[1], zlib.crc32(row[2].encode()))


@lru_cache(maxsize=50_000)
def customer_hash(customer: str) -> int:
    """Returns the number of a customer in the index, the same for every spelling of the name."""
    digest = blake2b(name_key(customer).encode(), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True)
