"""Waits that end at an event or after a time, and work that is repeated."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.domain.errors import StoreError


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> bool:
    """Returns whether an event was set within so many seconds; without a time-out it waits for it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def repeat_work(
    failed: str, seconds: float, work: Callable[[], Awaitable[None]], *, fatal: type[StoreError] | None = None
) -> None:
    """Does `work` every so many seconds, until cancelled.

    A StoreError is logged as the warning `failed`, and the work is repeated. `fatal` and other errors are raised.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except StoreError as error:
            if fatal is not None and isinstance(error, fatal):
                raise
            structlog.get_logger().warning(failed, reason=error.message)
