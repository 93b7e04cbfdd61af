"""Waiting within an event loop, for what has no event of its own."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from tests.support.intake import LOOK_SECONDS, PATIENCE


async def eventually(look: Callable[[], Any]) -> Any:
    """Looks until there is something to see; gives that. `look` may be awaitable."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if isinstance(seen, Awaitable):
            seen = await seen
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{look} saw nothing"
        await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that runs until it is cancelled, for as long as the block lasts; if it fails, so does the test."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
