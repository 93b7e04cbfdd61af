"""The distributed service's file in memory."""

import contextlib
import sqlite3
from collections.abc import Iterator

from shared.stores.sqlite.database import SCHEMA


@contextlib.contextmanager
def open_in_memory() -> Iterator[sqlite3.Connection]:
    """A file of the newest schema that is there for as long as the block lasts."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for path in sorted(SCHEMA.glob("distributed-*.sql")):
            connection.executescript(path.read_text())
        yield connection
