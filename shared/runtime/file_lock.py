"""Locks between processes, which the kernel releases when the holder dies."""

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from shared.domain.errors import StoreError
from shared.runtime.durable_files import PRIVATE


class FileLock:
    """A lock on a lock file (flock). The kernel queues waiting processes in order of arrival.

    Raises StoreError for a file that this user may not use.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except PermissionError as error:
            raise StoreError(
                f"{path.name} cannot be written to", hint=f"change the owner of {path}, or run as the user that owns it"
            ) from error

    def __enter__(self) -> "FileLock":
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def acquire_shared(self) -> None:
        """Acquires a shared lock, held until the process ends."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_acquire(self, *, seconds: float = 0.0) -> bool:
        """Acquires the exclusive lock; returns False if other processes still hold it after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.01)
            else:
                return True

    def release(self) -> None:
        """Releases the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Releases the lock and closes its file."""
        os.close(self._descriptor)
