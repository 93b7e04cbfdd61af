"""Copies files at a limited rate, so that a running suite keeps its speed."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from shared.runtime.durable_files import PRIVATE, sync_file
from shared.stores.sqlite.database import Connection, open_target, translate_errors

ProgressCallback = Callable[[int], None]
"""Gets the number of bytes that were processed since the last call."""

_PAGES = 64
_BLOCK_BYTES = 2**20
# The next fsync of the intake would have to wait for all accumulated dirty pages.
_SYNC_BYTES = 8 * 2**20
_NICE = 15


def lower_priority() -> None:
    """Lowers the priority of this process."""
    os.nice(_NICE)


class Throttle:
    """Limits the number of bytes that are copied in a second."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._due = time.monotonic()

    def wait_for_rate(self, size: int) -> None:
        """Sleeps for the time that `size` bytes may take. Unused time is not saved up."""
        self._due = max(self._due, time.monotonic()) + size / self._rate
        time.sleep(max(self._due - time.monotonic(), 0))


def copy_database(source: Connection, target: Path, throttle: Throttle, step: ProgressCallback) -> None:
    """Copies a database as `source` sees it in its read transaction. Raises StoreError and OSError."""
    with translate_errors(target):
        # Created first with its mode: SQLite would make the file readable for everybody.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE))
        page = int(source.execute("PRAGMA page_size").fetchone()[0])
        copy = open_target(target)
        try:
            left: int | None = None
            unsynced = 0

            def report_progress(_: int, remaining: int, total: int) -> None:
                nonlocal left, unsynced
                size = ((total if left is None else left) - remaining) * page
                left = remaining
                step(size)
                unsynced += size
                if unsynced >= _SYNC_BYTES:
                    unsynced = 0
                    sync_file(target)
                throttle.wait_for_rate(size)

            source.backup(copy, pages=_PAGES, progress=report_progress)
        finally:
            copy.close()
    sync_file(target)


def copy_file(source: Path, target: Path, throttle: Throttle, step: ProgressCallback) -> str:
    """Copies an unchanging file. Returns the SHA-256 of the copy. Raises OSError."""
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
            throttle.wait_for_rate(len(block))
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def digest_file(path: Path, throttle: Throttle, step: ProgressCallback) -> str:
    """Returns the SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            step(len(block))
            throttle.wait_for_rate(len(block))
    return digest.hexdigest()
