"""A reserve of disk space for finishing accepted orders."""

import os
import time
from pathlib import Path

from shared.domain.errors import StoreError

_CHECK_SECONDS = 0.1


class DiskReserve:
    """Keeps `reserve` bytes free on the disk of `folder`."""

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder = folder
        self._reserve = reserve
        self._free = 0
        self._next_check = 0.0

    def check_free_space(self) -> None:
        """Raises StoreError while too little of the disk is free; checks it ten times a second."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            disk = os.statvfs(self._folder)
            self._free = disk.f_bavail * disk.f_frsize
        if self._free < self._reserve:
            raise StoreError(
                f"the disk is nearly full: {self._free / 2**20:.1f} MiB are free",
                hint="free some space; what is left is for finishing accepted orders (the setting DISK_RESERVE_MIB)",
            )
