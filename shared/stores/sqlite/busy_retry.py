"""Writes while another program, as a database browser, has a file locked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.stores.sqlite.database import StoreBusy

T = TypeVar("T")

_WAIT_SECONDS = 0.25
_PAUSE_SECONDS = 0.01


class BusyRetry:
    """Repeats writes to one file while it is locked, for a quarter of a second; the event loop goes on meanwhile.

    A program that saves something holds the lock for milliseconds, and nobody notices. Of one that keeps it, only the
    first write waits: the next ones are tried once each, and refused at once, until one succeeds.
    """

    def __init__(self) -> None:
        self._given_up = False

    async def run_write(self, write: Callable[[], Awaitable[T]]) -> T:
        """Returns what `write` returns. Raises StoreBusy when the file stays locked; nothing is written then."""
        try:
            return self._record_success(await write())
        except StoreBusy:
            if self._given_up:
                raise
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WAIT_SECONDS
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                return self._record_success(await write())
            except StoreBusy:
                if loop.time() >= deadline:
                    self._given_up = True
                    raise

    def _record_success(self, result: T) -> T:
        self._given_up = False
        return result
