"""Copies whole files at a bounded rate, so that the suite beside them keeps its speed."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from shared.stores.durable_files import PRIVATE, sync_file
from shared.stores.sqlite.database import Connection, open_target, translate_errors

Step = Callable[[int], None]
"""Is told of so many bytes more."""

_PAGES = 64
_BLOCK_BYTES = 2**20
# Dirty pages that pile up make the next fsync of the intake wait for all of them.
_SYNC_BYTES = 8 * 2**20
_NICE = 15


def yield_to_servers() -> None:
    """Lowers the priority of this process."""
    os.nice(_NICE)


class Throttle:
    """Bounds how many bytes a second are copied."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._due = time.monotonic()

    def wait(self, size: int) -> None:
        """Sleeps for as long as `size` bytes are to take. Time that was not used is lost."""
        self._due = max(self._due, time.monotonic()) + size / self._rate
        time.sleep(max(self._due - time.monotonic(), 0))


def copy_database(source: Connection, target: Path, throttle: Throttle, step: Step) -> None:
    """Copies the state that `source` sees, which is in a read transaction. Raises StoreError and OSError."""
    with translate_errors(target):
        # Made first, for its mode: the database library would let everybody read it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE))
        page = int(source.execute("PRAGMA page_size").fetchone()[0])
        copy = open_target(target)
        try:
            left: int | None = None
            unsynced = 0

            def progress(_: int, remaining: int, total: int) -> None:
                nonlocal left, unsynced
                size = ((total if left is None else left) - remaining) * page
                left = remaining
                step(size)
                unsynced += size
                if unsynced >= _SYNC_BYTES:
                    unsynced = 0
                    sync_file(target)
                throttle.wait(size)

            source.backup(copy, pages=_PAGES, progress=progress)
        finally:
            copy.close()
    sync_file(target)


def copy_file(source: Path, target: Path, throttle: Throttle, step: Step) -> str:
    """Copies a file that nobody writes; returns the SHA-256 of what was copied. Raises OSError."""
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        unsynced = 0
        while block := reading.read(_BLOCK_BYTES):
            writing.write(block)
            digest.update(block)
            unsynced += len(block)
            if unsynced >= _SYNC_BYTES:
                unsynced = 0
                writing.flush()
                os.fsync(writing.fileno())
            step(len(block))
            throttle.wait(len(block))
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def digest_file(path: Path, throttle: Throttle, step: Step) -> str:
    """Returns the SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            step(len(block))
            throttle.wait(len(block))
    return digest.hexdigest()
