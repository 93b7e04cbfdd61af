"""The positions up to which the lake has everything, and the days whose files have to be made: one SQLite file.

The intake reads the position in orders from it: entries of its outbox that the lake has not read are kept.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shared.stores.sqlite.database import connect, translate_errors
from shared.stores.sqlite.order_positions import ORDERS, RECORDS

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_DIRTY: Final = "dirty"
_RUN: Final = "run"
_COMPLETE: Final = "complete"


class LakeDay(NamedTuple):
    """A day of a folder of events; or the books of a tenant, with an empty day."""

    tenant: str
    folder: str
    day: str


class LakeProgress:
    """Writes the file. All calls block, and raise StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        with translate_errors(path):
            self._connection.execute("PRAGMA wal_autocheckpoint = 1000")
            self._connection.execute(_SCHEMA)
            self._values: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        if _RUN not in self._values:
            self._store({_RUN: f"{time.time_ns() // 1_000_000:x}"})

    @property
    def records(self) -> str | None:
        """The position in the feed of records."""
        return self._values.get(RECORDS)

    @property
    def orders(self) -> str | None:
        """The position in the feed of orders."""
        return self._values.get(ORDERS)

    @property
    def run(self) -> str:
        """A part of the names of files: positions of another run may be the same, and must not replace its files."""
        return self._values[_RUN]

    @property
    def is_complete(self) -> bool:
        """Whether purchases from before the first position were read from the records."""
        return _COMPLETE in self._values

    def list_dirty(self) -> list[LakeDay]:
        """Returns the days whose files have to be made."""
        return msgspec.json.decode(self._values.get(_DIRTY, "[]"), type=list[LakeDay])

    def save(self, dirty: Iterable[LakeDay], *, records: str | None = None, orders: str | None = None) -> None:
        """Stores positions and days, in one transaction. None keeps a position."""
        values = {_DIRTY: msgspec.json.encode(sorted(dirty)).decode()}
        values |= {name: value for name, value in ((RECORDS, records), (ORDERS, orders)) if value is not None}
        self._store(values)

    def set_complete(self) -> None:
        """Stores that the purchases were read from the records. Raises StoreError."""
        self._store({_COMPLETE: "1"})

    def restart(self, *, orders: bool) -> None:
        """Has records exported from the oldest change on, and purchases read from the records; `orders` as well."""
        names = [_RUN, RECORDS, _COMPLETE, *([ORDERS] if orders else [])]
        with translate_errors(self._path):
            self._connection.executemany("DELETE FROM meta WHERE name = ?", [(name,) for name in names])
        self._values = {name: value for name, value in self._values.items() if name not in names}
        self._store({_RUN: f"{time.time_ns() // 1_000_000:x}"})

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _store(self, values: Mapping[str, str]) -> None:
        changed = {name: value for name, value in values.items() if self._values.get(name) != value}
        if not changed:
            return
        with translate_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_PUT, list(changed.items()))
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        self._values |= changed
