"""A bounded pool of threads for the calls of tantivy, which block."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import TypeVar

from shared.domain.errors import Unavailable

T = TypeVar("T")


class BoundedThreads:
    """Runs functions in `threads` threads; at most `calls` run or wait at a time."""

    def __init__(self, name: str, threads: int, calls: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._name = name
        self._free = Semaphore(calls)

    async def run(self, function: Callable[[], T]) -> T:
        """Returns the result of a function. Raises Unavailable if too many calls wait, and what the function raises.

        A function that has begun runs to its end, also when its caller no longer waits, and counts until then.
        """
        if not self._free.acquire(blocking=False):
            raise Unavailable(f"too many calls wait for the threads of {self._name}", hint="try again in a moment")
        call = self._executor.submit(function)
        call.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        """Waits for the running calls, and ends the threads."""
        self._executor.shutdown()
