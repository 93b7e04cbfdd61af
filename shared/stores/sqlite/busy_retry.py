"""Retries of writes while another program, such as a database browser, has locked a file."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.stores.sqlite.database import StoreBusy

T = TypeVar("T")

_WAIT_SECONDS = 0.25
_PAUSE_SECONDS = 0.01


class BusyRetry:
    """Retries writes to one locked file for a quarter of a second without blocking the event loop.

    Most programs hold the lock for milliseconds, so a retry succeeds. If a program keeps the lock, only the first write
    waits: later ones are tried once and fail at once, until one succeeds.
    """

    def __init__(self) -> None:
        self._given_up = False

    async def run_write(self, write: Callable[[], Awaitable[T]]) -> T:
        """Returns the result of `write`. Raises StoreBusy if the file stays locked; then nothing is written."""
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
