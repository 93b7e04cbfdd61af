"""Consistent snapshots of several files without a lock.

Each file commits independently. Copies of two files from different times are a state that the suite never had: results
of orders that do not exist, reservations of stock that no order made. So a snapshot begins read transactions on all
files, one after the other, and checks that no file has changed between the first and the last: then there was an
instant at which all of them were current. After a commit in between it tries again, which takes about 0.1 ms.

A lock on all files would give the same result, but a backup process that is stopped (SIGSTOP, a debugger, a full
terminal) while it holds them would stop the suite. A reader blocks no other process. Its price: SQLite cannot reuse the
write-ahead log of a file while a transaction reads an older state, so the log grows until the file is copied.

    file      orders   progress   records   distributed
    before       41         17        99            12      versions, read first
    begin        ok         ok        ok            ok
    after        41         17        99            12      the same: one instant
"""

import random
import time
from collections.abc import Sequence
from pathlib import Path

from shared.domain.errors import StoreError
from shared.stores.sqlite.database import Connection, connect, translate_errors

_SECONDS = 10.0
_LONGEST_PAUSE = 0.003


class Snapshot:
    """Read transactions on several files at one instant. Raises StoreError."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._probes: dict[Path, Connection] = {}
        self.readers: dict[Path, Connection] = {}
        """A connection for each file that reads its state at that instant."""
        for path in paths:
            self._probes[path] = connect(path, read_only=True)
            self.readers[path] = connect(path, read_only=True)
        self._begin_transactions()

    def _begin_transactions(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while True:
            before = self._read_versions()
            for path, reader in self.readers.items():
                with translate_errors(path):
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if self._read_versions() == before:
                return
            for reader in self.readers.values():
                reader.execute("ROLLBACK")
            if time.monotonic() > deadline:
                raise StoreError(
                    f"no instant without a commit was found within {_SECONDS:.0f} s", hint="try again under less load"
                )
            time.sleep(random.uniform(0, _LONGEST_PAUSE))

    def _read_versions(self) -> list[int]:
        versions = []
        for path, probe in self._probes.items():
            with translate_errors(path):
                versions.append(int(probe.execute("PRAGMA data_version").fetchone()[0]))
        return versions

    def release_file(self, path: Path) -> None:
        """Ends the transaction on one file, so that its write-ahead log can be reused."""
        self.readers.pop(path).close()
        self._probes.pop(path).close()

    def close(self) -> None:
        """Ends all remaining transactions."""
        for path in list(self.readers):
            self.release_file(path)
