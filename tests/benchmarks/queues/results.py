"""The job that every task queue is given: one SQLite commit. And what the files say was done."""

import contextlib
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = "BENCH_RESULTS"
"""The variable that tells workers where their files go."""

_lock = threading.Lock()


def record(number: int) -> None:
    """Does job `number`: records it with one commit that is on disk when this returns."""
    with _lock:
        _file().execute("INSERT INTO done VALUES (?, ?)", (number, time.monotonic()))


@functools.cache
def _file() -> sqlite3.Connection:
    """This process's own file, so that no worker ever waits for another's write lock.

    It gets its name when it is complete, so that whoever counts never sees one without its table.
    """
    final = Path(os.environ[FOLDER], f"{os.getpid()}.db")
    new = final.with_suffix(".new")
    with contextlib.closing(sqlite3.connect(new)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("CREATE TABLE done (number INTEGER, at REAL)")
    new.rename(final)
    file = sqlite3.connect(final, isolation_level=None, check_same_thread=False)
    file.execute("PRAGMA synchronous = FULL")
    file.execute("PRAGMA wal_autocheckpoint = 0")
    return file


class Done(NamedTuple):
    """One job that was done, and when on the machine's monotonic clock."""

    number: int
    at: float


def done(folder: Path) -> Sequence[Done]:
    """All that was done, by all workers there have been; a job done twice is there twice."""
    found: list[Done] = []
    for path in folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as file:
            found += map(Done._make, file.execute("SELECT number, at FROM done"))
    return found


def workers(folder: Path) -> int:
    """How many worker processes have done something."""
    return len(list(folder.glob("*.db")))
